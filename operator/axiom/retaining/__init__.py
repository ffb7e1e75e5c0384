"""What is deleted of old tasks, and when: policies, and the collector that follows them."""
