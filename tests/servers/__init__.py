"""Real servers for tests: started from wheels, on loopback, stopped and frozen at will."""
