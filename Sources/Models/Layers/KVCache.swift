package import TensorCore

/// How keys and values are kept between passes.
public enum KVPrecision: String, Sendable, CaseIterable {
  /// As they were computed: what quality is measured with.
  case f32
  /// In half precision: half the memory, and half of what a token of a long text reads.
  case f16
  /// In codes of 8 bits with a scale for each 32 (`q8_0`): about a quarter. Heads that do not divide by 32 are kept in half precision.
  case int8

  /// The format of a head's row.
  func format(headLength: Int) -> TensorFormat {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .int8: headLength % TensorFormat.q8_0.blockSize == 0 ? .q8_0 : .f16
    }
  }
}

/// The keys and values of the tokens seen so far.
///
/// Memory follows the tokens that were stored, not the capacity: a context of a million tokens costs nothing until it is used.
/// One sequence's state: use it from one task at a time.
public final class KVCache: @unchecked Sendable {
  /// The number of tokens it can hold.
  public let capacity: Int
  /// How keys and values are kept.
  public let precision: KVPrecision
  /// The number of tokens it holds.
  public package(set) var count = 0
  /// Keys and values, each block × head × token × head length.
  private(set) var keys, values: FloatBuffer
  /// The tokens that the buffers have room for.
  private var room: Int
  private let blocks, heads, headLength: Int
  /// What a head's row is stored as, and its bytes.
  private let format: TensorFormat
  private let rowBytes: Int
  /// What the model keeps between passes of few tokens, so that decoding allocates nothing.
  package var workspace: AnyObject?
  /// The room of a new cache; later it doubles.
  private static let firstRoom = 512

  /// A cache; models make their own.
  package init(capacity: Int, blocks: Int, heads: Int, headLength: Int, precision: KVPrecision = .f32) {
    self.capacity = capacity
    self.precision = precision
    self.blocks = blocks
    self.heads = heads
    self.headLength = headLength
    format = precision.format(headLength: headLength)
    rowBytes = headLength / format.blockSize * format.bytesPerBlock
    room = min(capacity, KVCache.firstRoom)
    let count = (blocks * heads * room * rowBytes + 3) / 4
    (keys, values) = (FloatBuffer(count: count), FloatBuffer(count: count))
  }

  /// Forgets all tokens from `count` on.
  public func truncate(to count: Int) { self.count = max(0, min(self.count, count)) }

  /// The bytes of keys and values that are allocated now.
  public var byteCount: Int { (keys.count + values.count) * 4 }

  /// The bytes of keys and values when it holds as many tokens as it can.
  public var byteCountWhenFull: Int { 2 * blocks * heads * capacity * rowBytes }

  /// Makes room for `tokens` tokens in all.
  ///
  /// - Precondition: they are no more than ``capacity``.
  package func reserve(_ tokens: Int) {
    precondition(tokens <= capacity, "the cache has no room for these tokens")
    guard tokens > room else { return }
    let wider = min(capacity, max(tokens, 2 * room))
    keys = copy(keys, room: wider)
    values = copy(values, room: wider)
    room = wider
  }

  private func copy(_ buffer: FloatBuffer, room wider: Int) -> FloatBuffer {
    let result = FloatBuffer(count: (blocks * heads * wider * rowBytes + 3) / 4)
    let (from, to) = (UnsafeRawPointer(buffer.base), UnsafeMutableRawPointer(result.base))
    for row in 0..<blocks * heads {
      (to + row * wider * rowBytes).copyMemory(
        from: from + row * room * rowBytes, byteCount: count * rowBytes)
    }
    return result
  }

  /// Where the keys or values of a block lie.
  func layout(_ buffer: FloatBuffer, block: Int) -> Attention.Layout {
    Attention.Layout(
      base: buffer, offset: block * heads * room * headLength, headStride: room * headLength,
      tokenStride: headLength, format: format)
  }

  /// Stores one token's heads at a position of a block.
  func store(_ row: UnsafePointer<Float>, in buffer: FloatBuffer, block: Int, position: Int) {
    for head in 0..<heads {
      let target =
        UnsafeMutableRawPointer(buffer.base) + ((block * heads + head) * room + position) * rowBytes
      let source = row + head * headLength
      switch format {
      case .f32: target.copyMemory(from: source, byteCount: rowBytes)
      case .q8_0: Kernels.encodeBlocks(source, into: target, count: headLength)
      default: Kernels.encode(source, as: format, into: target, count: headLength)
      }
    }
  }
}
