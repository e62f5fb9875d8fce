import TensorCore

/// Scratch memory for activations. Loops over threads write to different parts of it; nobody checks that they do.
package final class FloatBuffer: @unchecked Sendable {
  /// The first element, aligned to 64 bytes.
  package let base: UnsafeMutablePointer<Float>
  /// The number of elements.
  package let count: Int

  /// Zeros, or anything.
  package init(count: Int, isZeroed: Bool = true) {
    base = ReusedMemory.take(max(count, 1) * 4).bindMemory(to: Float.self, capacity: max(count, 1))
    if isZeroed { base.initialize(repeating: 0, count: max(count, 1)) }
    self.count = count
  }

  deinit { ReusedMemory.give(back: base, max(count, 1) * 4) }
}
