"""Bug classes: kinds of mistakes that are made in such losses, most of them seen in public code.

An entry belongs to the class that names it, and to that of its clause where none does. Names of
classes stay, as ids do.
"""

from __future__ import annotations

CLASSES = {
    "mask-inverted": "the mask read the wrong way round",
    "mask-misread": "the mask ignored, or read at other positions than those it stands for",
    "excluded-value-leaks": "what stands outside the mask reaches the value, NaN and Inf above all",
    "excluded-gradient-leaks": "what stands outside the mask reaches a gradient",
    "missing-by-sentinel": "a value, such as NaN, 0 or -100, taken to mean that nothing is there",
    "non-finite-hidden": "NaN, Inf or an overflow inside the mask reported as a number, or reverse",
    "wrong-type-accepted": "integers, complex numbers, arrays, None or a sparse layout accepted",
    "mask-not-bool": "a mask of integers, weights, None or True accepted",
    "broadcast": "shapes broadcast, cut, reshaped or transposed in silence",
    "reduction-accepted": "a reduction that does not exist accepted",
    "poor-refusal": "refused by the wrong error, too late, or without saying why",
    "unchecked-somewhere": "refused in plain calls, and accepted in a mode, a compiler or on meta",
    "signature": "names, order, defaults or kinds of the parameters",
    "right-input-refused": "what the contract takes, refused",
    "wrong-formula": "another formula: another power, factor, sign or weight",
    "wrong-divisor": "divided by another number: all elements, rows, L, a clamped or wrapped count",
    "mean-of-means": "a mean of the means of rows, chunks or ranks",
    "epsilon": "a small number added to the count or to the loss",
    "tail-lost": "elements lost, or read twice, at some sizes: tails, blocks, grid limits",
    "empty-mask": "an empty mask, or no elements, gives NaN, raises or cuts the graph",
    "result-kind": "the result is no 0-d tensor of the right dtype",
    "half-precision": "a difference, sum, count or factor kept in half precision",
    "lost-precision": "more rounding than any order of addition needs, or digits thrown away",
    "gradient-formula": "the gradient of another formula, clipped or rounded",
    "gradient-scale": "the gradient divided by another number than the value",
    "upstream": "the gradient that comes from behind ignored, misread or applied twice",
    "detached": "an input, or both, without its gradient",
    "second-order": "a second derivative or forward mode that is wrong or missing",
    "backward-state": "backward depends on what came between, or spoils what comes after",
    "input-changed": "an input, its flags, hooks or gradient changed by the call",
    "kept-alive": "inputs or graphs kept after the result is gone",
    "layout": "strides, offsets, expansion, lazy negation or shared memory misread",
    "not-deterministic": "the same call gives other bits",
    "global-state": "a global of the process changed, or something printed",
    "depends-on-mode": "another result under a mode, a default, a thread count or in a process",
    "depends-on-history": "another result after other calls, or with threads beside",
    "reads-data": "data read back to the host, so that nothing can trace, capture or shard it",
    "compiled": "fails, or computes something else, while compiling or exporting",
    "transformed": "fails, or computes something else, inside torch.func",
    "distributed": "wrong on several ranks: local counts, replicas added up, collectives that hang",
}

_OF_CLAUSE = {
    "C1": "signature",
    "C2": "right-input-refused",
    "C3": "wrong-type-accepted",
    "C4": "wrong-divisor",
    "C5": "result-kind",
    "C6": "lost-precision",
    "C7": "empty-mask",
    "C8": "excluded-value-leaks",
    "C9": "non-finite-hidden",
    "C10": "wrong-formula",
    "C11": "gradient-formula",
    "C12": "excluded-gradient-leaks",
    "C13": "second-order",
    "C14": "input-changed",
    "C15": "layout",
    "C16": "global-state",
    "C17": "reads-data",
    "C18": "compiled",
    "C19": "transformed",
    "C20": "distributed",
}

_NAMED = {
    "mask-inverted": "mask_inverted",
    "mask-misread": """mask_ignored visible_term_added mask_filled_to_an_interval scatter_overwrites
        stops_at_first_empty_row square_mask_transposed""",
    "excluded-value-leaks": """subclass_of_mask_multiplied leaks_under_autocast_to_float16
        leaks_with_default_float16 leaks_with_default_bfloat16 leaks_in_anomaly_mode
        leaks_on_one_thread leaks_after_thirty_calls leaks_after_a_refusal leaks_under_func
        leaks_under_vmap_of_grad compiled_path_multiplies_by_mask exported_path_multiplies_by_mask
        shard_times_its_mask zero_from_the_sum_of_x_recon""",
    "excluded-gradient-leaks": """second_order_poisoned_outside tangents_times_zero
        gradient_with_first_row_of_mask gradient_with_shifted_mask""",
    "missing-by-sentinel": """nan_in_x_is_missing nan_in_x_recon_is_missing zero_in_x_is_missing
        minus_one_in_x_is_missing minus_hundred_in_x_is_missing saturated_x_is_missing
        excluded_nan_taken_off_the_count row_with_nan_left_out zero_difference_not_counted""",
    "non-finite-hidden": """overflow_reported_as_zero overflow_saturates
        compensation_turns_infinity_into_nan included_nan_gradient_hidden
        included_infinite_gradient_hidden same_tensor_is_zero
        gradient_zero_when_sum_overflows""",
    "mask-not-bool": """mask_array_accepted mask_none_accepted mask_true_accepted
        mask_uint8_accepted mask_of_indices_accepted mask_of_weights_accepted
        mask_may_be_left_out""",
    "broadcast": """vectors_accepted channels_accepted x_recon_row_broadcast x_row_broadcast
        x_column_broadcast x_vector_broadcast mask_row_broadcast mask_column_broadcast
        mask_of_rows_accepted mask_scalar_broadcast inputs_broadcast_to_mask
        mask_transposed_accepted x_reshaped lengths_cut_to_the_shorter mask_cut_to_the_batch
        shape_mismatch_only_warns""",
    "reduction-accepted": """reduction_none_accepted reduction_in_capitals_accepted
        reduction_checked_as_substring reduction_none_object_accepted reduction_number_accepted
        reduction_enum_accepted""",
    "poor-refusal": """devices_not_compared unknown_reduction_is_key_error tensors_not_checked
        refused_by_assertion wrong_dtype_is_value_error wrong_shape_is_type_error
        message_without_argument message_names_x_recon message_without_what_came
        message_without_what_is_wanted reduction_checked_after_the_sum
        subtracted_before_the_checks refused_x_is_reshaped_in_place grad_mode_off_after_an_error""",
    "unchecked-somewhere": """nothing_to_do_returns_before_checks mse_without_checks
        float64_memory_read_as_float32 unchecked_without_grad_mode unchecked_under_autocast
        unchecked_under_transforms unchecked_on_meta asserts""",
    "right-input-refused": """expanded_target_refused non_contiguous_input_raises""",
    "wrong-formula": """absolute_for_square half_of_the_square squares_clamped
        gradient_of_absolute_error gradient_of_huber""",
    "mean-of-means": "mean_of_row_means mean_of_chunk_means mean_of_local_means",
    "epsilon": """epsilon_1e5_in_count epsilon_1e12_in_count epsilon_beside_the_count
        epsilon_vanishes_in_half constant_added""",
    "tail-lost": """last_column_dropped tail_of_4_dropped row_tail_of_16_dropped
        tail_of_32_dropped_beyond_1024 odd_element_dropped_beyond_65536
        block_of_4096_rounded_down rows_beyond_65535_ignored last_whole_8_of_row_dropped
        block_boundary_counted_twice stale_scratch_after_last_block
        last_block_weighs_as_a_whole_one block_starts_one_late rows_of_some_hundreds
        empty_last_chunk a_dozen_rows size_of_exactly_many_blocks gradient_without_tail
        gradient_zero_for_tiny_inputs gradient_of_first_block_only gradient_of_first_columns_only
        gradient_without_odd_last_row gradient_without_remainder gradient_with_empty_last_chunk
        gradient_of_few_among_many last_column_of_48_has_no_gradient remainder_multiplied_by_mask
        running_total_of_tall_inputs nansum_at_large_sizes chunk_for_each_thread""",
    "empty-mask": """batch_of_none_refused empty_mean_without_graph empty_mask_gives_fresh_leaf
        empty_mask_gradient_nan empty_mask_connects_reconstruction_only no_elements_no_graph
        empty_row_gradient_nan empty_mask_nan_under_no_grad compiled_empty_mask_nan
        vmap_rule_nan_for_empty_sample shared_zero_for_no_elements
        nan_where_a_rank_has_nothing_masked returns_early_where_nothing_is_masked
        refuses_an_empty_shard""",
    "half-precision": """sse_sum_of_halves_not_widened result_in_half promoted_without_float32
        widened_after_subtraction bfloat16_not_widened sum_in_half x_rounded_to_x_recon
        x_recon_rounded_to_x count_in_half factor_in_half subnormal_halves_read_as_zero
        gradient_scale_in_half gradient_difference_before_upcast gradient_doubled_in_half
        gradient_difference_in_dtype_of_reconstruction half_not_widened_under_no_grad
        inputs_cast_down_under_autocast result_cast_down_under_autocast
        summed_by_matrix_product compiled_half_not_widened exported_half_not_widened
        compiled_reconstruction_rounded added_in_half_precision
        target_gradient_rounded_like_reconstruction upstream_through_half""",
    "lost-precision": """gradient_of_float64_in_float32 small_gradient_flushed
        small_differences_dropped compiled_float64_in_float32""",
    "gradient-scale": """gradient_without_scale gradient_of_batch_mean_divided_by_count
        gradient_of_mean_divided_by_all gradient_of_mean_divided_by_row_counts
        second_order_without_scale forward_mode_without_scale gradient_times_ranks""",
    "upstream": """upstream_ignored upstream_sign_only upstream_sign_lost
        upstream_dropped_when_negative upstream_zero_read_as_one upstream_applied_twice
        upstream_capped_at_one upstream_read_as_integer upstream_missing_for_target
        upstream_reaches_first_element_only upstream_ignored_unless_sum
        upstream_read_at_start_of_storage upstream_after_the_mask upstream_near_one_is_one
        upstream_scaled_in_place batched_upstream_raises""",
    "detached": """parameter_target_detached target_detached reconstruction_detached
        target_detached_beside_reconstruction target_gradient_zero
        gradient_only_if_both_require_grad lone_target_gets_none same_tensor_twice_has_no_graph
        dropped_inputs_have_no_gradient compiled_target_detached compiled_batch_mean_detaches
        target_detached_under_transforms vmap_rule_detaches zeros_in_another_thread
        gathered_without_a_graph gradient_of_x_on_the_first_rank graph_recorded_under_no_grad
        no_gradient_through_vmap""",
    "second-order": "jvp_ignores_target nested_grad_is_zero upstream_tangent_lost",
    "backward-state": """one_buffer_for_both_gradients gradient_written_behind_autograd
        saved_tensor_known_by_address mask_kept_without_version_check
        saved_gradient_scaled_in_place repeated_backward_accumulates
        buffer_freed_by_first_backward kept_gradient_handed_out
        gradient_buffer_shared_between_calls interleaved_call_replaces_inputs
        interleaved_call_replaces_count inputs_kept_without_version_check gradients_share_memory
        gradient_handed_out_twice backward_scale_shared_by_threads
        scale_left_in_calling_thread hook_masks_the_whole_gradient computed_again_in_backward""",
    "input-changed": "tangent_overwritten",
    "kept-alive": "last_inputs_kept losses_collected",
    "layout": """gradient_in_memory_order gradient_of_expanded_input_summed_twice
        gradient_of_expanded_target_from_first_row second_order_wrong_if_transposed
        forward_mode_ignores_strided_target""",
    "not-deterministic": """summed_in_random_order gradient_rounded_at_random
        every_seventh_call_wrong""",
    "depends-on-mode": """widened_to_default_dtype count_in_default_dtype sum_in_matmul_precision
        result_is_an_inference_tensor inference_mode_raises inference_inputs_infect_the_result
        zero_on_the_default_device deterministic_path_drops_a_row sees_the_runner
        aborts_without_the_runner rest_of_the_rows_for_no_thread
        divided_by_ranks result_on_default_device""",
    "depends-on-history": """scratch_shared_by_threads result_overwritten_by_next_call
        count_remembered_by_identity count_remembered_by_shape count_remembered_by_address
        count_remembered_by_version loss_remembered_for_same_tensors batch_size_of_first_call
        dtype_of_first_call gradient_depends_on_number_of_calls works_in_importing_thread_only
        flag_left_by_a_refused_call sums_kept_by_address_and_version""",
}

_CLASS = {name: bug_class for bug_class, names in _NAMED.items() for name in names.split()}


def of(clause: str, identifier: str) -> str:
    """The class of a wrong entry."""
    return _CLASS.get(identifier, _OF_CLAUSE[clause])


def unknown(identifiers: set[str]) -> list[str]:
    """What is named here and is no entry, or named twice."""
    named = [name for names in _NAMED.values() for name in names.split()]
    twice = sorted({name for name in named if named.count(name) > 1})
    return sorted(set(named) - identifiers) + twice
