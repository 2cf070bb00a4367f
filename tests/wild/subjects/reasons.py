"""Why something is not claimed, where the reason is the same for several packages."""

MEAN_ONLY = "there is no other"
NO_BATCH_MEAN = "there is no batch_mean"
INPUT_DTYPE = "its documentation is silent; PyTorch's rule is a result in the dtype of the inputs"
NO_CHECKS = "its documentation promises no checks, and its messages name other arguments"
ONE_PROCESS = "its documentation says nothing of DTensor"
NOT_THROUGH = "the adapter leaves PyTorch on the way"
METRIC = "the adapter makes a metric, a module with state, in each call"
IN_FORWARD = "the loss is part of the model's forward; the adapter puts stand-ins around it"
HALF_SQUARES = "of half precision nothing is said; it squares in half and adds up in float32"
AUTOCAST = (
    'torch.amp: "CPU Ops that can autocast to float32: ... `mse_loss`"; its result is float32 then'
)
