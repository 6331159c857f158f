"""What keeps clients within bounds: rate limits that hold across workers, and requests that run once."""
