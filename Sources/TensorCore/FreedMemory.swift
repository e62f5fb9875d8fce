internal import CKernels

/// What becomes of memory that is freed.
public enum FreedMemory {
  /// From here on large pieces go back to the system at once, so that what a long run takes is what it uses; for programs, at
  /// their start. Costs page faults where matrices come and go: some percent of a calibrated run.
  public static func giveBack() { ck_give_back_memory() }

  private static let loops = Locked(0)

  /// Runs a loop in which matrices of the same sizes come and go: what is freed waits for the next until its end.
  package static func keeping<Result>(_ body: () throws -> Result) rethrows -> Result {
    func count(_ change: Int) {
      loops.withLock {
        $0 += change
        if $0 == (change > 0 ? 1 : 0) { ck_keep_freed_memory(change > 0 ? 1 : 0) }
      }
    }
    count(1)
    defer { count(-1) }
    return try body()
  }
}
