/* Simulated: as much of MPI as a program needs to say who it is. */
#define MPI_COMM_WORLD 0
#ifdef __cplusplus
extern "C" {
#endif
int MPI_Init(int *argc, char ***argv);
int MPI_Comm_rank(int communicator, int *rank);
int MPI_Comm_size(int communicator, int *size);
int MPI_Finalize(void);
#ifdef __cplusplus
}
#endif
