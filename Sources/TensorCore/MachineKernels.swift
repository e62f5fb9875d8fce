internal import CKernels

/// Loops that only read, or only multiply and add: what the machine does at most, to measure other code by.
public enum MachineKernels {
  /// What is multiplied.
  public enum Arithmetic: Int, CaseIterable, Sendable {
    case f32, bf16, int8
  }

  /// The sum of the 64-bit words at `bytes`, modulo 2⁶⁴: every byte is read once, on the calling thread.
  ///
  /// - Precondition: the number of bytes is a multiple of 64.
  public static func read(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    precondition(bytes.count % 64 == 0, "reading goes by 64 bytes")
    guard let base = bytes.baseAddress else { return 0 }
    return ck_machine_read(base, bytes.count)
  }

  /// The instructions that a kind of arithmetic runs on: "avx512-vnni"; nil where the processor has none.
  public static func instructions(_ kind: Arithmetic) -> String? {
    ck_machine_peak_name(Int32(kind.rawValue)).map { String(cString: $0) }
  }

  /// The multiplications and additions of one round of ``multiply(_:by:rounds:)``.
  public static func operations(_ kind: Arithmetic) -> Double {
    ck_machine_peak_operations(Int32(kind.rawValue))
  }

  /// Adds x · 1 to every lane of independent registers, `rounds` times, on the calling thread.
  ///
  /// - Returns: the sum of the lanes, x · ``operations(_:)`` / 2 · rounds as far as nothing is rounded or overflows; 0 where
  ///   the processor lacks the kind.
  /// - Precondition: x is from 1 to 100.
  @discardableResult
  public static func multiply(_ kind: Arithmetic, by x: Int, rounds: Int) -> Double {
    precondition((1...100).contains(x) && rounds >= 0, "x from 1 to 100")
    return ck_machine_peak(Int32(kind.rawValue), Int32(x), rounds)
  }

  /// Switches the calling thread to the scalar twins, or back; for tests.
  package static func selectScalar(_ scalar: Bool) { ck_machine_select_scalar(scalar ? 1 : 0) }
}
