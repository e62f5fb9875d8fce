internal import TensorCore

/// What every scored prediction of one model was worth, in the order of the text: what two models are compared by, token for token.
public struct TokenRecords: Sendable, Equatable {
  /// A row of predictions that belong together, and may be correlated.
  public struct Block: Sendable, Equatable {
    /// The document it is of; nil for a chunk of running text.
    public var document: Int?
    /// The number of predictions.
    public var count: Int

    /// `count` predictions of a document, or of running text.
    public init(document: Int? = nil, count: Int) {
      self.document = document
      self.count = count
    }
  }

  /// One prediction.
  public struct Token: Sendable, Equatable {
    /// The token that really followed.
    public var truth: UInt32
    /// −ln p(true token), in nats.
    public var loss: Float
    /// KL(baseline ‖ model) in nats; 0 without a baseline.
    public var divergence: Float
    /// Whether the model found the true token most likely.
    public var isRight: Bool
    /// Whether model and baseline found the same token most likely; true without a baseline.
    public var isSameTop: Bool

    /// A prediction of these parts.
    public init(truth: UInt32, loss: Float, divergence: Float, isRight: Bool, isSameTop: Bool) {
      self.truth = truth
      self.loss = loss
      self.divergence = divergence
      self.isRight = isRight
      self.isSameTop = isSameTop
    }
  }

  /// The text, the tokens and the policy that they belong to.
  public var key: ReferenceKey
  /// Whether there was a baseline to compare with.
  public var hasBaseline: Bool
  /// The chunks, in order; their counts add up to the number of tokens.
  public var blocks: [Block]
  /// The predictions, chunk after chunk.
  public var tokens: [Token]

  /// Records of these parts.
  ///
  /// - Precondition: the blocks have as many predictions as there are tokens.
  public init(key: ReferenceKey, hasBaseline: Bool, blocks: [Block], tokens: [Token]) {
    precondition(blocks.reduce(0) { $0 + $1.count } == tokens.count, "blocks of other tokens")
    self.key = key
    self.hasBaseline = hasBaseline
    self.blocks = blocks
    self.tokens = tokens
  }

  /// The sums of a quantity over blocks that count as independent: chunks of one document are one block.
  ///
  /// - Parameter value: the quantity of the prediction at a place of ``tokens``.
  public func sums(_ value: (Int) -> Double) -> [BlockSum] {
    var sums: [BlockSum] = []
    var document: Int?
    var place = 0
    for block in blocks where block.count > 0 {
      let sum = (place..<place + block.count).reduce(0.0) { $0 + value($1) }
      place += block.count
      if let document, document == block.document, let last = sums.indices.last {
        sums[last].sum += sum
        sums[last].count += block.count
      } else {
        sums.append(BlockSum(sum: sum, count: block.count))
      }
      document = block.document
    }
    return sums
  }

  /// The share of predictions whose most likely token was the true one, with its error over blocks.
  public var accuracy: Estimate { Estimate(blocks: sums { tokens[$0].isRight ? 1 : 0 }) }
}

/// Gathers ``TokenRecords`` while a model is evaluated.
public final class TokenRecorder: Sendable {
  private let key: ReferenceKey
  private let state: Locked<(hasBaseline: Bool, blocks: [TokenRecords.Block], tokens: [TokenRecords.Token])>

  /// A recorder for an evaluation on what `key` says.
  public init(key: ReferenceKey) {
    self.key = key
    state = Locked((false, [], []))
  }

  /// What was gathered; nil when that is nothing.
  public var records: TokenRecords? {
    state.withLock {
      $0.tokens.isEmpty
        ? nil
        : TokenRecords(key: key, hasBaseline: $0.hasBaseline, blocks: $0.blocks, tokens: $0.tokens)
    }
  }

  func add(_ scores: [TokenScore], of chunk: EvaluationChunks.Chunk, hasBaseline: Bool) {
    let tokens = zip(scores, chunk.tokens[(chunk.first + 1)...]).map { score, truth in
      TokenRecords.Token(
        truth: UInt32(truncatingIfNeeded: truth), loss: Float(score.loss),
        divergence: Float(score.divergence), isRight: score.isTruthTop,
        isSameTop: !hasBaseline || score.isSameTop)
    }
    state.withLock {
      $0.hasBaseline = hasBaseline
      $0.blocks.append(.init(document: chunk.document, count: tokens.count))
      $0.tokens += tokens
    }
  }
}
