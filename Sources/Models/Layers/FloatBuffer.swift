import TensorCore

/// Scratch memory for activations. Loops over threads write to different parts of it; nobody checks that they do.
package final class FloatBuffer: @unchecked Sendable {
  /// The first element, aligned to 64 bytes.
  package let base: UnsafeMutablePointer<Float>
  /// The number of elements.
  package let count: Int

  /// Zeros.
  package init(count: Int) {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
    base = memory.bindMemory(to: Float.self, capacity: max(count, 1))
    base.initialize(repeating: 0, count: max(count, 1))
    self.count = count
  }

  deinit { base.deallocate() }
}
