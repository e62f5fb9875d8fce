internal import CKernels

/// What becomes of memory that is freed.
public enum FreedMemory {
  /// From here on large pieces go back to the system at once, so that what a long run takes is what it uses; for programs, at
  /// their start. Costs page faults where matrices come and go: some percent of a calibrated run.
  public static func giveBack() { ck_give_back_memory() }
}
