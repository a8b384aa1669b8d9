"""Data that somebody else made: read in whatever columns it has, put into a kind of the line's rows, and audited by the gate's checks."""
