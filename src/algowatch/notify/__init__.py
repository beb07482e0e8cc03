"""From alerts to messages: routing, grouping, the durable outbox, delivery."""
