"""What in an agent's input and output a person should know of, told without repeating it: injections, and secrets."""
