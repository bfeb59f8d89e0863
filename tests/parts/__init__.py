"""The real servers that the tests talk to, one file each: none of them is a mock of ours."""
