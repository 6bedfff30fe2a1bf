"""Files for other systems: schedulers, ParallelCluster, Image Builder."""
