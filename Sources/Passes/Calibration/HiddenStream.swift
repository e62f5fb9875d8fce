import TensorCore

/// Hidden states of all calibration tokens, of which some are in use at a time: in memory, or in a temporary file where that
/// is too much. Files are read and written, not mapped: mapped pages would be this process's memory after all.
final class HiddenStream {
  /// The bytes of activations that are held in memory where nothing else is asked for.
  static let defaultMemory = 256 << 20

  private let width: Int
  private let store: ActivationStore?
  private let file: TemporaryFile?
  private var window: FloatWindow?

  /// Room for `tokens` hidden states of `width` numbers.
  ///
  /// - Parameter limit: the bytes that may be taken from memory.
  /// - Throws: ``PassError`` when the file cannot be made.
  init(tokens: Int, width: Int, limit: Int) throws {
    self.width = width
    let count = tokens * width
    let bytes = count * MemoryLayout<Float>.stride
    if bytes <= limit {
      (store, file) = (try ActivationStore(count: count, limit: nil), nil)
    } else {
      (store, file) = (nil, try TemporaryFile())
      try file?.reserve(bytes)
    }
  }

  /// The states of `count` tokens from `first` on; valid until the next call, and kept by ``put(_:_:)`` alone.
  ///
  /// - Parameter reads: false where all of them will be overwritten.
  func take(_ first: Int, _ count: Int, reads: Bool = true) throws -> UnsafeMutablePointer<Float> {
    if let store { return store.base + first * width }
    if window.map({ $0.count < count * width }) ?? true { window = FloatWindow(count * width) }
    guard let window, let file else {
      throw PassError("a stream of hidden states has neither memory nor file")
    }
    if reads {
      try file.read(
        into: UnsafeMutableRawBufferPointer(start: window.base, count: count * width * 4),
        at: first * width * 4)
    }
    return window.base
  }

  /// Keeps what was written to the states that were taken last.
  func put(_ first: Int, _ count: Int) throws {
    guard let file, let window else { return }
    try file.write(
      UnsafeRawBufferPointer(start: window.base, count: count * width * 4), at: first * width * 4)
  }
}

/// Some floats of memory.
private final class FloatWindow {
  let base: UnsafeMutablePointer<Float>
  let count: Int

  init(_ count: Int) {
    self.count = count
    base = .allocate(capacity: max(count, 1))
    base.initialize(repeating: 0, count: max(count, 1))
  }

  deinit { base.deallocate() }
}
