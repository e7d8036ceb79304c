"""What every room stands on: named random streams, fixed sums, files that appear whole, errors of users."""
