"""What a scheduled program costs, on texts as the compilers of TPUs and GPUs write them."""

# ruff: noqa: E501 - the compiler writes long lines

import pytest

from sdxl_engine.forecast.hlo import ScheduledProgram

# A matrix product of 64 x 32 by 32 x 128 in a loop of 10 rounds, its weights sliced from a stack in
# HBM; then a convolution of 8 x 8 pixels, 3 x 3 taps, 4 to 16 features, whose operands lie in VMEM.
TEXT = """HloModule jit_f, is_scheduled=true

%fused_slice (param_0.1: bf16[10,32,128], param_1.1: s32[]) -> bf16[32,128] {
  %param_0.1 = bf16[10,32,128]{2,1,0:T(8,128)} parameter(0)
  %param_1.1 = s32[]{:T(128)} parameter(1)
  %zero.1 = s32[]{:T(128)} constant(0)
  %slice.1 = bf16[1,32,128]{2,1,0:T(8,128)} dynamic-slice(%param_0.1, %param_1.1, %zero.1, %zero.1), dynamic_slice_sizes={1,32,128}
  ROOT %bitcast.1 = bf16[32,128]{1,0:T(8,128)} bitcast(%slice.1)
}

%fused_dot (param_0.2: bf16[64,32], param_1.2: bf16[10,32,128], param_2.2: s32[]) -> bf16[64,128] {
  %param_0.2 = bf16[64,32]{1,0:T(8,128)S(1)} parameter(0)
  %param_1.2 = bf16[10,32,128]{2,1,0:T(8,128)} parameter(1)
  %param_2.2 = s32[]{:T(128)} parameter(2)
  %weights.2 = bf16[32,128]{1,0:T(8,128)} fusion(%param_1.2, %param_2.2), kind=kLoop, calls=%fused_slice
  ROOT %dot.2 = bf16[64,128]{1,0:T(8,128)S(1)} convolution(%param_0.2, %weights.2), dim_labels=bf_io->bf
}

%fused_conv (param_0.3: bf16[1,8,8,4], param_1.3: bf16[3,3,4,16]) -> bf16[1,8,8,16] {
  %param_0.3 = bf16[1,8,8,4]{3,2,1,0:T(8,128)S(1)} parameter(0)
  %param_1.3 = bf16[3,3,4,16]{3,2,1,0:T(8,128)S(1)} parameter(1)
  ROOT %conv.3 = bf16[1,8,8,16]{3,2,1,0:T(8,128)} convolution(%param_0.3, %param_1.3), window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_01io->b01f
}

%body (carry: (s32[], bf16[64,32], bf16[10,32,128])) -> (s32[], bf16[64,32], bf16[10,32,128]) {
  %carry = (s32[]{:T(128)}, bf16[64,32]{1,0:T(8,128)S(1)}, bf16[10,32,128]{2,1,0:T(8,128)}) parameter(0)
  %round = s32[]{:T(128)} get-tuple-element(%carry), index=0
  %x = bf16[64,32]{1,0:T(8,128)S(1)} get-tuple-element(%carry), index=1
  %stack = bf16[10,32,128]{2,1,0:T(8,128)} get-tuple-element(%carry), index=2
  %product = bf16[64,128]{1,0:T(8,128)S(1)} fusion(%x, %stack, %round), kind=kOutput, calls=%fused_dot
  ROOT %next = (s32[]{:T(128)}, bf16[64,32]{1,0:T(8,128)S(1)}, bf16[10,32,128]{2,1,0:T(8,128)}) tuple(%round, %x, %stack)
}

%condition (state: (s32[], bf16[64,32], bf16[10,32,128])) -> pred[] {
  %state = (s32[]{:T(128)}, bf16[64,32]{1,0:T(8,128)S(1)}, bf16[10,32,128]{2,1,0:T(8,128)}) parameter(0)
  %counter = s32[]{:T(128)} get-tuple-element(%state), index=0
  %most = s32[]{:T(128)} constant(10)
  ROOT %less = pred[]{:T(512)} compare(%counter, %most), direction=LT
}

ENTRY %main (p0: (s32[], bf16[64,32], bf16[10,32,128]), p1: bf16[1,8,8,4], p2: bf16[3,3,4,16]) -> bf16[1,8,8,16] {
  %p0 = (s32[]{:T(128)}, bf16[64,32]{1,0:T(8,128)S(1)}, bf16[10,32,128]{2,1,0:T(8,128)}) parameter(0)
  %p1 = bf16[1,8,8,4]{3,2,1,0:T(8,128)} parameter(1)
  %p2 = bf16[3,3,4,16]{3,2,1,0:T(8,128)S(1)} parameter(2)
  %loop = (s32[]{:T(128)}, bf16[64,32]{1,0:T(8,128)S(1)}, bf16[10,32,128]{2,1,0:T(8,128)}) while(%p0), condition=%condition, body=%body
  %begin = (bf16[1,8,8,4]{3,2,1,0:T(8,128)S(1)}, bf16[1,8,8,4]{3,2,1,0:T(8,128)}, u32[]{:S(2)}) copy-start(%p1)
  %near = bf16[1,8,8,4]{3,2,1,0:T(8,128)S(1)} copy-done(%begin)
  %joined = bf16[1,8,8,4]{3,2,1,0:T(8,128)S(1)} custom-call(%near), custom_call_target="ConcatBitcast"
  %kernel = bf16[1,8,8,4]{3,2,1,0:T(8,128)S(1)} custom-call(%joined), custom_call_target="tpu_custom_call", backend_config={"custom_call_config":{"cost_estimate":{"flops":"5000","transcendentals":"7","bytes_accessed":"300"}}}
  ROOT %pictures = bf16[1,8,8,16]{3,2,1,0:T(8,128)} fusion(%kernel, %p2), kind=kOutput, calls=%fused_conv
}
"""
DOT = 2 * 64 * 32 * 128
WEIGHTS = 32 * 128 * 2
CONV = 2 * 8 * 8 * 16 * 9 * 4
PICTURE = 8 * 8 * 16 * 2
COPIED = 8 * 8 * 4 * 2
RATE, BANDWIDTH = 1e9, 1e7


@pytest.mark.parametrize(("loops_once", "rounds"), [(False, 10), (True, 1)])
def test_a_loop_counts_as_often_as_it_runs(loops_once: bool, rounds: int) -> None:
    program = ScheduledProgram(TEXT, flops_per_s=RATE, hbm_bytes_per_s=BANDWIDTH)
    cost = program.cost(loops_once=loops_once)
    assert cost.flops == rounds * DOT + CONV + 5000
    # Of the stack the slice alone is read; the kernel's operands and result lie in VMEM.
    assert cost.hbm_bytes == rounds * WEIGHTS + COPIED + PICTURE
    # The product is bound by its weights, the convolution by its picture; a copy waits for nobody.
    assert DOT / RATE < WEIGHTS / BANDWIDTH
    expected_s = rounds * WEIGHTS / BANDWIDTH + 5000 / RATE + PICTURE / BANDWIDTH
    assert cost.seconds == pytest.approx(expected_s)


def test_rounds_that_the_text_does_not_say_are_given_from_the_outermost() -> None:
    unknown = TEXT.replace("%most = s32[]{:T(128)} constant(10)", "%most = s32[] parameter(1)")
    program = ScheduledProgram(unknown, flops_per_s=RATE, hbm_bytes_per_s=BANDWIDTH)
    for rounds, times in (((), 1), ((3,), 3), ((3, 7), 3)):
        assert program.cost(rounds=rounds).flops == times * DOT + CONV + 5000
        by_name = {run.instruction.name: run.times for run in program.runs(rounds)}
        assert (by_name["product"], by_name["pictures"]) == (times, 1)


# A product of 64 x 32 by 32 x 128 within a fusion, another by cuBLAS in a loop of 3 rounds, attention
# of 2 x 16 queries to 2 x 8 keys, 4 heads of 8, and a convolution of 8 x 8 pixels, 3 x 3 taps, 4 to
# 16 features, whose kernel has the output's features first.
GPU_TEXT = """HloModule jit_f, is_scheduled=true

%fused_dot (a: bf16[64,32], b: bf16[32,128]) -> bf16[64,128] {
  %a = bf16[64,32]{1,0} parameter(0)
  %b = bf16[32,128]{1,0} parameter(1)
  ROOT %dot.1 = bf16[64,128]{1,0} dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%body (carry: (s32[], bf16[64,32], bf16[32,128])) -> (s32[], bf16[64,32], bf16[32,128]) {
  %carry = (s32[], bf16[64,32]{1,0}, bf16[32,128]{1,0}) parameter(0)
  %round = s32[] get-tuple-element(%carry), index=0
  %x = bf16[64,32]{1,0} get-tuple-element(%carry), index=1
  %w = bf16[32,128]{1,0} get-tuple-element(%carry), index=2
  %cublas = (bf16[64,128]{1,0}, s8[4096]{0}) custom-call(%x, %w), custom_call_target="__cublas$lt$matmul", backend_config={"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"]}}}
  ROOT %next = (s32[], bf16[64,32]{1,0}, bf16[32,128]{1,0}) tuple(%round, %x, %w)
}

%condition (state: (s32[], bf16[64,32], bf16[32,128])) -> pred[] {
  %state = (s32[], bf16[64,32]{1,0}, bf16[32,128]{1,0}) parameter(0)
  %counter = s32[] get-tuple-element(%state), index=0
  %most = s32[] constant(3)
  ROOT %less = pred[] compare(%counter, %most), direction=LT
}

ENTRY %main (p0: (s32[], bf16[64,32], bf16[32,128]), p1: bf16[64,32], p2: bf16[32,128], q: bf16[2,16,4,8], k: bf16[2,8,4,8], i: bf16[1,8,8,4], o: bf16[16,3,3,4]) -> bf16[64,128] {
  %p0 = (s32[], bf16[64,32]{1,0}, bf16[32,128]{1,0}) parameter(0)
  %p1 = bf16[64,32]{1,0} parameter(1)
  %p2 = bf16[32,128]{1,0} parameter(2)
  %q = bf16[2,16,4,8]{3,2,1,0} parameter(3)
  %k = bf16[2,8,4,8]{3,2,1,0} parameter(4)
  %i = bf16[1,8,8,4]{3,2,1,0} parameter(5)
  %o = bf16[16,3,3,4]{3,2,1,0} parameter(6)
  %loop = (s32[], bf16[64,32]{1,0}, bf16[32,128]{1,0}) while(%p0), condition=%condition, body=%body
  %attention = (bf16[2,4,16,8]{3,1,2,0}, u8[0]{0}) custom-call(%q, %k, %k), custom_call_target="__cudnn$fmhaSoftmax"
  %pictures = (bf16[1,8,8,16]{3,2,1,0}, u8[0]{0}) custom-call(%i, %o), window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convForward"
  %foreign = bf16[64,128]{1,0} custom-call(%p1), custom_call_target="somebody"
  ROOT %product = bf16[64,128]{1,0} fusion(%p1, %p2), kind=kCustom, calls=%fused_dot
}
"""
ATTENTION = 4 * (2 * 16 * 4 * 8) * 8


def test_a_gpu_multiplies_in_fusions_and_in_libraries() -> None:
    program = ScheduledProgram(GPU_TEXT, flops_per_s=RATE, hbm_bytes_per_s=BANDWIDTH)
    assert program.cost().flops == DOT + 3 * DOT + ATTENTION + CONV
    assert program.cost(loops_once=True).flops == DOT + DOT + ATTENTION + CONV


def test_a_librarys_workspace_is_not_moved() -> None:
    program = ScheduledProgram(GPU_TEXT, flops_per_s=RATE, hbm_bytes_per_s=BANDWIDTH)
    numbers = {
        "four products": 4 * (64 * 32 + 32 * 128 + 64 * 128),
        "attention": 2 * (2 * 16 * 4 * 8 + 2 * 8 * 4 * 8),
        "convolution": 8 * 8 * 4 + 16 * 9 * 4 + 8 * 8 * 16,
        "somebody's": 64 * 32 + 64 * 128,
    }
    assert program.cost().hbm_bytes == 2 * sum(numbers.values())


# A product of 64 x 32 whole numbers by 32 x 128, sliced from a stack of ten whose tiles are taken
# otherwise first, which costs nothing.
INT8_TEXT = """HloModule jit_f, is_scheduled=true

%view (v: s8[10,32,128]) -> s8[10,32,128] {
  %v = s8[10,32,128]{2,1,0:T(32,128)(4,1)} parameter(0)
  ROOT %same = s8[10,32,128]{2,1,0:T(8,128)(4,1)} copy(%v)
}

%fused (a: s8[64,32], stack: s8[10,32,128], place: s32[]) -> s32[64,128] {
  %a = s8[64,32]{1,0:T(8,128)(4,1)S(1)} parameter(0)
  %stack = s8[10,32,128]{2,1,0:T(32,128)(4,1)} parameter(1)
  %place = s32[] parameter(2)
  %zero = s32[] constant(0)
  %tiles = s8[10,32,128]{2,1,0:T(8,128)(4,1)} fusion(%stack), kind=kLoop, output_to_operand_aliasing={{}: (0, {})}, calls=%view
  %slice = s8[1,32,128]{2,1,0:T(8,128)(4,1)} dynamic-slice(%tiles, %place, %zero, %zero), dynamic_slice_sizes={1,32,128}
  %weights = s8[32,128]{1,0:T(8,128)(4,1)} bitcast(%slice)
  ROOT %sums = s32[64,128]{1,0:T(8,128)S(1)} convolution(%a, %weights), dim_labels=bf_io->bf
}

ENTRY %main (x: s8[64,32], w: s8[10,32,128], i: s32[]) -> s32[64,128] {
  %x = s8[64,32]{1,0:T(8,128)(4,1)S(1)} parameter(0)
  %w = s8[10,32,128]{2,1,0:T(32,128)(4,1)} parameter(1)
  %i = s32[] parameter(2)
  ROOT %out = s32[64,128]{1,0:T(8,128)S(1)} fusion(%x, %w, %i), kind=kOutput, calls=%fused
}
"""


def test_whole_numbers_are_multiplied_faster_and_read_where_they_are_sliced() -> None:
    fast = ScheduledProgram(
        INT8_TEXT, flops_per_s=RATE, hbm_bytes_per_s=BANDWIDTH, int8_factor=2
    ).cost()
    assert fast.hbm_bytes == 32 * 128
    assert fast.flops == DOT
    assert fast.floor_s == DOT / RATE / 2
