"""Why each clause is in the contract, and what its users do where a loss breaks it."""

from __future__ import annotations

from typing import NamedTuple


class Remedy(NamedTuple):
    """Words on a clause: `why` it is there, and what to `do` about a failure."""

    why: str
    do: str


REMEDIES = {
    "C1": Remedy(
        "One implementation takes another's place only if no call has to change. A reduction by "
        "position may land in an argument that means something else.",
        "Write the signature out, with the bare star before reduction and without **kwargs. Where "
        "callers need another one, leave it, and put an adapter of three lines before it "
        "(docs/guide.md).",
    ),
    "C2": Remedy(
        "Mixed precision brings half tensors beside full ones, in any pairing. A mask of numbers "
        "can mean weights, or what is visible; a bool has one meaning here.",
        "Convert both inputs inside the function, to the dtype that C5 names. A loss that is for "
        "some dtypes only says so: Claims(dtypes=...).",
    ),
    "C3": Remedy(
        "A mask of the wrong shape broadcasts, an integer tensor divides: a number comes out, and "
        "a training that looks right.",
        "Check types, dtypes, shapes and the reduction before anything else, and name the argument "
        "and the way out in the message. Where the callers do that, say "
        "Claims(strict_inputs=False).",
    ),
    "C4": Remedy(
        "This is the definition; everything else is about how the number is reached.",
        "Look at the divisor first: n is the number of True in the whole mask, and B the number "
        "of rows, those without any True included. A mean of row means is another number. Then "
        "see whether the mask says what is masked, or what is visible.",
    ),
    "C5": Remedy(
        "A float16 square overflows at 65504, and a half-precision count sticks at 2048, or at "
        "256 in bfloat16: Inf, or a mean that is off by a factor, from harmless data.",
        "Convert both inputs to the promoted dtype before the subtraction, count in integers or "
        "in that dtype, and return it. A loss that gives half results on purpose claims "
        'half_result="half".',
    ),
    "C6": Remedy(
        "A sum that loses digits as batches grow makes runs of different sizes incomparable.",
        "Add with torch.sum, pairwise, or in float64; never into one float32 variable, and never "
        "as a² − 2ab + b². A weaker bound can be claimed: Claims(roundoffs=...).",
    ),
    "C7": Remedy(
        "Batches with nothing masked happen: short tails, filters, a rank that got none. 0/0 is "
        "NaN, and one NaN ends the training.",
        "Divide by mask.sum().clamp(min=1), and by max(B, 1). Return no constant: the result has "
        "to stay connected to the graph (C12).",
    ),
    "C8": Remedy(
        "What nobody asked about is often not finite: padding, dead detector pixels, outputs that "
        "nothing trains. NaN times zero is NaN.",
        "Replace before squaring: torch.where(mask, x_recon - x, 0). Multiplying by the mask lets "
        "NaN and infinities through.",
    ),
    "C9": Remedy(
        "A NaN that is hidden is a model that has diverged while the curve looks fine.",
        "No nan_to_num, no nansum, no clamp: positions are left out by the mask alone.",
    ),
    "C10": Remedy(
        "People rely on these without a thought: a batch is shuffled or split, the arguments are "
        "swapped, the data rescaled.",
        "Look for what depends on position or size: weights by row, a mean of means, a constant "
        "added to the square or to the divisor.",
    ),
    "C11": Remedy(
        "The value may be right while the backward is not, and training follows the backward.",
        "In a backward of your own multiply by the upstream gradient, by 2 and by the reduction's "
        "scale, in the dtype of the result, and convert last. Under autograd look for detach, "
        ".item(), clamp and in-place changes.",
    ),
    "C12": Remedy(
        "In backward too zero times NaN is NaN: torch.where around the square has the right value "
        "and NaN in its gradient.",
        "Put torch.where around the difference, before the square. In a backward of your own "
        "select by the mask; do not multiply by it. With nothing masked return sum ÷ "
        "count.clamp(min=1), which is connected, and no new tensor.",
    ),
    "C13": Remedy(
        "Gradient penalties, second-order optimisers and forward-mode tools differentiate twice; "
        "two losses share inputs, and backward runs again.",
        "Make the backward of differentiable operators on saved tensors, and give a jvp. Or "
        "decorate it with once_differentiable, which raises instead of being wrong, and claim "
        "Claims(second_order=False, forward_mode=False).",
    ),
    "C14": Remedy(
        "The tensors are the caller's: the same prediction goes into another loss, or a plot; a "
        "tensor that is kept is memory that never comes back.",
        "No in-place operator and no out= on arguments or their views. Keep no tensor in a "
        "global, a cache or a closure, and return memory of your own.",
    ),
    "C15": Remedy(
        "Slices, transposes and expanded rows are everyday inputs. A kernel that reads by address "
        "takes other numbers for them.",
        "Call .contiguous() before a pointer goes anywhere, and .resolve_neg() before that. Take "
        "strides from the tensor, never from its shape.",
    ),
    "C16": Remedy(
        "The loss is called a million times in a program with settings of its own. A switch that "
        "it leaves turned is found elsewhere, days later.",
        "Change nothing global, or in a context that puts it back; print, warn and log nothing; "
        "cache nothing by address or content; sum outside of autocast.",
    ),
    "C17": Remedy(
        "x[mask], .item() and `if loss > 0` make the host wait for the device in every step, and "
        "cannot run on meta tensors or in a CUDA graph.",
        "Use torch.where in place of x[mask]; no .item(), .tolist(), bool() or nonzero. A loss "
        "that works on the host's data claims Claims(data_independent=False).",
    ),
    "C18": Remedy(
        "Compiled trainings take the loss into the graph. A break in it splits the graph, and "
        "compiling anew for each batch size costs seconds a step.",
        "Branch on dtypes and shapes only, read no data, call no NumPy, and take sizes from "
        "x.shape: len(x) makes a constant of them. A kernel of your own "
        "becomes an operator by torch.library.custom_op, with a fake implementation and a "
        "backward; or claim Claims(compile=False).",
    ),
    "C19": Remedy(
        "Gradients of each sample, ensembles and Jacobians are taken by mapping the loss.",
        "An autograd.Function needs setup_context, and generate_vmap_rule=True or a vmap of its "
        "own. Do nothing in place to what is not mapped. Or claim Claims(transforms=False).",
    ),
    "C20": Remedy(
        "With a sharded batch each rank sees a part. A mean of local means gives ranks with few "
        "masked positions too much weight.",
        "Reduce sum and count over the ranks, each by itself, and divide then; use operators that "
        "DTensor knows. A loss on raw memory claims Claims(distributed=False).",
    ),
}
