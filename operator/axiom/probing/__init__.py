"""`axiom probe`: what a sandbox keeps in, tried from inside, without an agent."""
