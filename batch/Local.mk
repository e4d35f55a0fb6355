batchdir = $(pkgdatadir)/batch
dist_batch_DATA = \
    %reldir%/lsf/ipp-engine.lsf %reldir%/pbs/ipp-engine.pbs %reldir%/sge/ipp-engine.sge \
    %reldir%/slurm/ipp-engine.sbatch
EXTRA_DIST += docs/batch.md .ci/run
