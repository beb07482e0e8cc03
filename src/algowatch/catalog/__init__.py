"""Every metric family of ours, as data; the only place where such a name is spelled."""
