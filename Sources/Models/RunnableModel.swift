public import TensorCore

/// A model that can be run, by what it does.
public enum RunnableModel: Sendable {
  /// Predicts the next token.
  case language(any LanguageModel)
  /// Embeds texts.
  case encoder(any EncoderModel)
  /// Cannot be run, and why.
  case none(reason: String)
}

/// What activations become before they meet quantized weights.
public enum ActivationPrecision: String, Sendable, CaseIterable {
  /// 8-bit codes with a scale for each 32: how a model ships and is timed.
  case int8
  /// Floats: quantized weights are decoded, and only their rounding shows.
  case f32
}

/// Which positions of a forward pass logits are wanted for.
public enum LogitsRequest: Sendable, Equatable {
  /// None: the pass only fills the cache.
  case none
  /// The last position: one row.
  case last
  /// The positions from an index of this call's tokens on: one row each.
  case from(Int)
}

/// A decoder-only language model over weights in their stored formats. Deterministic for any number of threads.
public protocol LanguageModel: Sendable {
  /// The number of logits.
  var vocabularySize: Int { get }
  /// The longest sequence the model was made for.
  var contextLength: Int { get }
  /// The bytes of weights that one decoded token reads.
  var bytesPerToken: Int { get }
  /// An empty cache for sequences of up to `capacity` tokens.
  func makeCache(capacity: Int) -> KVCache
  /// Runs `tokens` after those in `cache`, and adds them to it.
  ///
  /// - Returns: one row of `vocabularySize` logits for each position asked for.
  /// - Precondition: the cache has room, and every token is below `vocabularySize`.
  func forward(_ tokens: [Int], cache: KVCache, logits: LogitsRequest) -> Matrix
}

/// An encoder that turns a sequence of tokens into one vector.
public protocol EncoderModel: Sendable {
  /// The length of an embedding.
  var embeddingLength: Int { get }
  /// The longest sequence; longer ones are cut by the caller.
  var contextLength: Int { get }
  /// The pooled (and, where the model says so, normalised) embedding of each sequence: one row each.
  ///
  /// - Precondition: no sequence is empty or longer than `contextLength`, and every token is one of the vocabulary.
  func embed(_ sequences: [[Int]]) -> Matrix
}

/// The keys and values of the tokens seen so far.
///
/// Memory follows the tokens that were stored, not the capacity: a context of a million tokens costs nothing until it is used.
/// One sequence's state: use it from one task at a time.
public final class KVCache: @unchecked Sendable {
  /// The number of tokens it can hold.
  public let capacity: Int
  /// The number of tokens it holds.
  public package(set) var count = 0
  /// Keys and values, each block × head × token × head length.
  private(set) var keys, values: FloatBuffer
  /// The tokens that the buffers have room for.
  private var room: Int
  private let blocks, heads, headLength: Int
  /// What the model keeps between passes of few tokens, so that decoding allocates little.
  package var workspace: AnyObject?
  /// The room of a new cache; later it doubles.
  private static let firstRoom = 512

  /// A cache; models make their own.
  package init(capacity: Int, blocks: Int, heads: Int, headLength: Int) {
    self.capacity = capacity
    self.blocks = blocks
    self.heads = heads
    self.headLength = headLength
    room = min(capacity, KVCache.firstRoom)
    keys = FloatBuffer(count: blocks * heads * room * headLength)
    values = FloatBuffer(count: blocks * heads * room * headLength)
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
    let result = FloatBuffer(count: blocks * heads * wider * headLength)
    for row in 0..<blocks * heads {
      (result.base + row * wider * headLength).update(
        from: buffer.base + row * room * headLength, count: count * headLength)
    }
    return result
  }

  /// Where the keys or values of a block lie.
  func layout(_ buffer: FloatBuffer, block: Int) -> Attention.Layout {
    Attention.Layout(
      base: buffer, offset: block * heads * room * headLength, headStride: room * headLength,
      tokenStride: headLength)
  }

  /// Stores one token's heads at a position of a block.
  func store(_ row: UnsafePointer<Float>, in buffer: FloatBuffer, block: Int, position: Int) {
    for head in 0..<heads {
      let place = ((block * heads + head) * room + position) * headLength
      (buffer.base + place).update(from: row + head * headLength, count: headLength)
    }
  }
}
