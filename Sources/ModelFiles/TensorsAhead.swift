import Dispatch
import TensorCore

/// The bytes of tensors in order; while the caller uses one, the next that has to be made is made on another thread, unless one
/// thread is all there may be.
final class TensorsAhead {
  private let tensors: [TensorBytes]
  private var place = 0
  private var pending: Pending?
  private let inPieces: Bool

  /// - Parameter inPieces: whether tensors that can be made in pieces are, by the caller, and skipped here.
  init(_ tensors: [TensorBytes], inPieces: Bool) {
    self.tensors = tensors
    self.inPieces = inPieces
  }

  /// The next tensor's bytes.
  ///
  /// - Precondition: there is one.
  func next() throws -> ByteRegion {
    let ready = pending
    pending = nil
    let bytes = try ready?.take() ?? tensors[place].load()
    place += 1
    makeNext()
    return bytes
  }

  /// Leaves the next tensor out.
  func skip() {
    finish()
    place += 1
  }

  private func makeNext() {
    guard place < tensors.count, tensors[place].isMade, Parallel.threadCount > 1 else { return }
    if inPieces, tensors[place].makePieces != nil { return }
    pending = Pending(tensors[place])
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
