import Dispatch
import TensorCore

/// The bytes of tensors in order; while the caller uses one, the next that has to be made is made on another thread, unless one
/// thread is all there may be.
final class TensorsAhead {
  private let tensors: [TensorBytes]
  private var place = 0
  private var pending: Pending?

  init(_ tensors: [TensorBytes]) { self.tensors = tensors }

  /// The next tensor's bytes.
  ///
  /// - Precondition: there is one.
  func next() throws -> ByteRegion {
    let ready = pending
    pending = nil
    let bytes = try ready?.take() ?? tensors[place].load()
    place += 1
    if place < tensors.count, tensors[place].isMade, Parallel.threadCount > 1 {
      pending = Pending(tensors[place])
    }
    return bytes
  }

  /// Waits for what is still being made, which nobody wants any more.
  func finish() {
    _ = try? pending?.take()
    pending = nil
  }

  private final class Pending: Sendable {
    private let result = Locked<Result<ByteRegion, any Error>?>(nil)
    private let done = DispatchSemaphore(value: 0)

    init(_ bytes: TensorBytes) {
      DispatchQueue.global(qos: .userInitiated).async { [result, done] in
        let made = Result { try bytes.load() }
        result.withLock { $0 = made }
        done.signal()
      }
    }

    /// Waits for the bytes; once.
    func take() throws -> ByteRegion? {
      done.wait()
      return try result.withLock { $0 }?.get()
    }
  }
}
