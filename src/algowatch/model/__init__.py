"""Values and protocols that the rooms hand each other: labels, matchers, samples, alerts, durations, time. No I/O."""
