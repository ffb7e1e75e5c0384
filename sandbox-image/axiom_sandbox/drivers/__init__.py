"""How each agent is spoken with: pure protocol machines. docs/drivers.md says how to write another one."""
