"""Released datasets as TRL, verl, OpenRLHF and verifiers read them, with our grader as their reward: `factory export`."""
