/* Simulated: who a process is comes from where Open MPI's own launcher puts it. */
#include "mpi.h"
#include <stdlib.h>

static int number(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

int MPI_Init(int *argc, char ***argv) { return 0; }
int MPI_Comm_rank(int communicator, int *rank) { return *rank = number("OMPI_COMM_WORLD_RANK", 0), 0; }
int MPI_Comm_size(int communicator, int *size) { return *size = number("OMPI_COMM_WORLD_SIZE", 1), 0; }
int MPI_Finalize(void) { return 0; }
