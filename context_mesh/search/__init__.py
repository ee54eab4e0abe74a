"""Finding the few tools that a task needs among thousands: by words, without a model."""
