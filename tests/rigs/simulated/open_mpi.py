"""Simulated Open MPI, as far as NCCL's tests are built with it, where the installer of EFA puts it."""

OPEN_MPI = """
mkdir -p /opt/amazon/openmpi/include /opt/amazon/openmpi/lib
cat >/opt/amazon/openmpi/include/mpi.h <<'EOF'
/* Simulated. */
#ifdef __cplusplus
extern "C" {
#endif
int MPI_Init(int *argc, char ***argv);
int MPI_Finalize(void);
#ifdef __cplusplus
}
#endif
EOF
echo 'int MPI_Init(int *c, char ***v) { return 0; } int MPI_Finalize(void) { return 0; }' |
  gcc -shared -fPIC -Wl,-soname,libmpi.so.40 -x c - -o /opt/amazon/openmpi/lib/libmpi.so.40
ln -s libmpi.so.40 /opt/amazon/openmpi/lib/libmpi.so
"""
