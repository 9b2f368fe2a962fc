"""What outlives an exchange: stores that several workers may share."""
