"""How good judges are: works on which people have decided, put before each judge as a verification would."""
