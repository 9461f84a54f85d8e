"""How bundles of machine code are counted, on texts as the TPU compiler writes them."""

from pathlib import Path

import pytest

from sdxl_engine.forecast.bundles import MachineCode, cycles_of, grid_of
from sdxl_engine.forecast.hlo import Cost, Instruction, Run

# The frame of a convolution for a v5e, most of its bundles left out: a grid of two blocks of rows
# by five of output channels, and two rounds more; rows that are normalised, only with the first
# channels; chunks of rows, and within them taps. Code within a bundle is left out, too.
CONVOLUTION = """\
= control target key start
LB: loop body
= control target key end

     0   :  { %s13717_s20 = smov 0 /* copy for cssa */ }
  0x1b LB: > { %s13488_s20 = sphi %s13717_s20, %s30_s20 /* phi copy :: iteration index, stage = 0 */ }
  0x1c   : > { %p9369_p6 = scmp.ge.s32.totalorder %s13488_s20, 1  ;;  %s9344_s22 = sadd.s32 4294967294, %s13488_s20 }
  0x1d   : > { %p13820_p12 = scmp.ge.s32.totalorder %s21148_s17, 5 }
  0x1e   : > { %p47_p1 = scmp.ge.s32.totalorder %s22593_s7, 2 }
  0xa3   : > { %p9396_p10 = scmp.ne.s32.totalorder %s21432_s27, 0 } /* End region 77 */
  0xa4   : > { %590 = sbr.rel (%p9396_p10) target = $region80 }
  0xa5   :  {}
  0xa6   :  {}
  0xa7   :  {}
  0xa8   :  {} /* End region 78 */
 0x301 LB: >> { %s3472_s3 = sadd.s32 1, %s13492_s3  ;;  %s13492_s3 = sphi %s17621_s3, %s3472_s3 }
 0x308   : >> { %p3469_p8 = scmp.ge.s32.totalorder %s3472_s3, 32 /* loop exit test */ }
 0x424   : >> { %3471 = sbr.rel (!%p3469_p8) target = $region192 }
 0x425   :  {}
 0x426   :  {}
 0x427   :  {}
 0x428   : >> { %9595 = vst [vmem:[%s17954_s27 + $0x2bbc] sm:$0xf] } /* End region 79 :: End region 192 */
 0x429 PF: > { %s19426_s21 = smov 0 /* copy for cssa */ }
 0x42a LB: >> { %s4909_s21 = sadd.s32 1, %s13496_s21  ;;  %s13496_s21 = sphi %s19426_s21, %s4909_s21 }
 0x433 LB: >>> { %s4918_s13 = sadd.s32 1, %s13628_s25  ;;  %s13628_s25 = sphi %s19497_s25, %s22548_s25 }
 0x435   : >>> { %p20899_p2 = scmp.ge.s32.totalorder %s4918_s13, 3 /* loop exit test */ }
 0x438   : >>> { %p4906_p11 = scmp.ge.s32.totalorder (%p20899_p2), %s4909_s21, 8 /* loop exit test */ }
 0x7a9   : >> { %4917 = sbr.rel (!%p20899_p2) target = $region203 }
 0x7aa   :  {}
 0x7ab   :  {}
 0x7ac   : >>> { %22510 = vst [vmem:[#allocation148_spill] sm:$0xff] } /* End region 203 */
 0x7ad   : >>> { %v22514_v6 = vmov %v22513_v51 }
 0x7b2   : > { %4908 = sbr.rel (!%p4906_p11) target = $region214 }
 0x7b3   :  {}
 0x7b4   :  {}
 0x7b5   :  {}
 0x7b6   : >> { %11876 = vst [vmem:[%s8931_s3 + $0x78] sm:$0xff] } /* End region 214 */
 0x7cc   : > { %p21067_p2 = scmp.ge.s32.totalorder %s30_s20, 12 /* loop exit test */ }
 0x7da   :  { %29 = sbr.rel (!%p21067_p2) target = $region225 }
 0x7db   :  {}
 0x7dc   :  {}
 0x7dd   :  {}
 0x7de   : > { %s22591_s19 = smov %s22579_s22 } /* End region 3 :: End region 224 */
 0x7df   :  { %9000 = vsyncpa [#allocation10], 1 }
"""  # noqa: E501 - the compiler writes long lines
ROWS, TAPS, CHUNK = 7 * 32, 8 * 3, 6
ONCE, BLOCKS, CHANNELS = 2, 2, 5


@pytest.mark.parametrize("grid", [None, BLOCKS * CHANNELS])
def test_bundles_count_as_often_as_their_loops_go_round(grid: int | None) -> None:
    """Those of the rows only once for all output channels."""
    each_round = 10 + 1 + 8 * (TAPS + CHUNK) + 6
    expected = ONCE + BLOCKS * CHANNELS * each_round + BLOCKS * ROWS
    assert cycles_of(CONVOLUTION, grid) == pytest.approx(expected)


def test_a_loop_that_nothing_says_the_rounds_of_counts_once() -> None:
    unknown = CONVOLUTION.replace(", 32 /* loop exit test */", ", %s5")
    assert cycles_of(CONVOLUTION) - cycles_of(unknown) == pytest.approx(BLOCKS * 7 * 31)


def test_grids_behind_each_other_are_counted_each_by_its_own_rounds() -> None:
    slots = "  0x4   :  {}\n" * 4

    def grid(number: int, exit_test: int) -> str:
        return (
            f"  0x0 LB: > {{ %s{number}1 = sphi %s{number}0, %s{number}2 "
            "/* iteration index, stage = 0 */ }\n"
            f"  0x1   : > {{ %s{number}2 = sadd.s32 1, %s{number}1 }}\n"
            f"  0x2   : > {{ %p{number} = scmp.ge.s32.totalorder %s{number}2, {exit_test} "
            "/* loop exit test */ }\n"
            f"  0x3   :  {{ %7 = sbr.rel (!%p{number}) target = $region9 }}\n"
            f"{slots}"
        )

    assert cycles_of(grid(1, 130) + grid(2, 514) + "  0x9   :  {}\n") == 8 * (128 + 512) + 1


def run_of(name: str, rest: str = "", *, times: int = 1, seconds: float = 0) -> Run:
    return Run(Instruction(name, "fusion", "", (), rest), times, Cost(seconds=seconds))


def test_a_program_is_its_instructions(tmp_path: Path) -> None:
    bundle = "  0x{:x}   :  {{}}\n"
    grid = (
        "  0x0 LB: > { %s1 = sphi %s0, %s2 /* iteration index, stage = 0 */ }\n"
        "  0x1   : > { %p1_p0 = scmp.ge.s32.totalorder %s2, 9 /* loop exit test */ }\n"
        "  0x2   :  { %7 = sbr.rel (!%p1_p0) target = $region9 }\n"
    )
    for name, text in {
        "100-fusion.1-01-final_bundles.txt": bundle.format(0) * 1000,  # did not fit in memory
        "101-fusion.1-01-final_bundles.txt": bundle.format(0) * 30,
        "101-fusion.1-00-schedule-analysis_final_bundles.txt": bundle.format(0) * 2000,
        "102-copy.2-01-final_bundles.txt": grid,
        "100-TLP-00-deduplication-map.txt": (
            "key:<top>\nordinal:0\nequivalent_hlos[size=0]:\n"
            "key:fusion.1\nordinal:1\nequivalent_hlos[size=2]:\n  fusion.1\n  fusion.8\n"
        ),
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    code = MachineCode(tmp_path)
    bounds = '{"window_config":{"iteration_bounds":["2","1","2"]}}'
    assert grid_of(run_of("copy.2", bounds)) == 4
    assert code.seconds([run_of("copy.2", bounds)], 1.0) == 4 * 3
    assert code.seconds([run_of("copy.2")], 1.0) == 7 * 3
    # The second shares the first one's code; what has none takes what memory takes.
    runs = [run_of("fusion.1"), run_of("fusion.8", times=3), run_of("bitcast.3", seconds=0.5)]
    assert code.seconds(runs, 10.0) == pytest.approx(3.0 + 3 * 3.0 + 0.5)
    # And nothing is faster than by its roofline.
    assert code.seconds([run_of("fusion.8", times=2, seconds=4.0)], 10.0) == 8.0
