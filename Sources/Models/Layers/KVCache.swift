package import TensorCore

/// How keys and values are kept between passes.
public enum KVPrecision: String, Sendable, CaseIterable {
  /// As they were computed: what quality is measured with.
  case f32
  /// In half precision: half the memory, and half of what a token of a long text reads.
  case f16

  /// The bytes of a number.
  var bytes: Int { self == .f32 ? 4 : 2 }
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
    room = min(capacity, KVCache.firstRoom)
    let count = KVCache.words(blocks * heads * room * headLength, precision)
    (keys, values) = (FloatBuffer(count: count), FloatBuffer(count: count))
  }

  /// The words of four bytes that `count` numbers take.
  private static func words(_ count: Int, _ precision: KVPrecision) -> Int {
    (count * precision.bytes + 3) / 4
  }

  /// Forgets all tokens from `count` on.
  public func truncate(to count: Int) { self.count = max(0, min(self.count, count)) }

  /// The bytes of keys and values that are allocated now.
  public var byteCount: Int { (keys.count + values.count) * 4 }

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
    let result = FloatBuffer(count: KVCache.words(blocks * heads * wider * headLength, precision))
    let (from, to) = (UnsafeRawPointer(buffer.base), UnsafeMutableRawPointer(result.base))
    let token = headLength * precision.bytes
    for row in 0..<blocks * heads {
      (to + row * wider * token).copyMemory(from: from + row * room * token, byteCount: count * token)
    }
    return result
  }

  /// Where the keys or values of a block lie.
  func layout(_ buffer: FloatBuffer, block: Int) -> Attention.Layout {
    Attention.Layout(
      base: buffer, offset: block * heads * room * headLength, headStride: room * headLength,
      tokenStride: headLength, precision: precision)
  }

  /// Stores one token's heads at a position of a block.
  func store(_ row: UnsafePointer<Float>, in buffer: FloatBuffer, block: Int, position: Int) {
    for head in 0..<heads {
      let place = ((block * heads + head) * room + position) * headLength
      let source = row + head * headLength
      switch precision {
      case .f32: (buffer.base + place).update(from: source, count: headLength)
      case .f16:
        Kernels.encode(
          source, as: .f16, into: UnsafeMutableRawPointer(buffer.base) + 2 * place, count: headLength)
      }
    }
  }
}
