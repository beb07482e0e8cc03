"""One module per notification service: payload and delivery, no routing. Standard library only."""
