"""What the real CLIs say in their structured modes, recorded against the scripted model: see README.md."""
