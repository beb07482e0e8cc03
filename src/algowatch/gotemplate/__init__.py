"""The part of Go's text/template that rule annotations and notification templates use."""
