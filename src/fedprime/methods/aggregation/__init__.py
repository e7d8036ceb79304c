"""What a server makes of many values: means, robust ones, alignment."""
