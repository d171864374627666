// Calls that the emulated driver knows and refuses, so that a program which resolves them by name gets
// CUDA_ERROR_NOT_SUPPORTED instead of a missing symbol: managed memory, graphs, cooperative launches,
// external memory, arrays.
#include "emulator.h"

#define STAFFA_REFUSED(name) \
    STAFFA_EXPORT CUresult name() { return CUDA_ERROR_NOT_SUPPORTED; }

STAFFA_REFUSED(cuMemAllocManaged)
STAFFA_REFUSED(cuMemAllocPitch_v2)
STAFFA_REFUSED(cuMemAdvise_v2)
STAFFA_REFUSED(cuMemPrefetchAsync_v2)
STAFFA_REFUSED(cuMemcpy2D_v2)
STAFFA_REFUSED(cuMemcpy2DAsync_v2)
STAFFA_REFUSED(cuStreamAttachMemAsync)
STAFFA_REFUSED(cuStreamBeginCapture_v2)
STAFFA_REFUSED(cuStreamEndCapture)
STAFFA_REFUSED(cuGraphInstantiateWithFlags)
STAFFA_REFUSED(cuGraphLaunch)
STAFFA_REFUSED(cuGraphUpload)
STAFFA_REFUSED(cuGraphDestroy)
STAFFA_REFUSED(cuGraphExecDestroy)
STAFFA_REFUSED(cuLaunchCooperativeKernel)
STAFFA_REFUSED(cuLaunchKernelEx)
STAFFA_REFUSED(cuImportExternalMemory)
STAFFA_REFUSED(cuExternalMemoryGetMappedBuffer)
STAFFA_REFUSED(cuDestroyExternalMemory)
STAFFA_REFUSED(cuOccupancyAvailableDynamicSMemPerBlock)
