"""Where the authors' research code departs from the paper, as switches, and nowhere else."""
