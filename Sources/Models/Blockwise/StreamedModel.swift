public import ModelFiles
public import TensorCore

/// A language model of which one block is in memory at a time: all sequences go through it before the next is read.
///
/// Results are those of the whole model. Made for texts that are known ahead; ``forward(_:cache:logits:)`` works, but runs a
/// sequence from its beginning each time.
public struct StreamedModel: LanguageModel {
  /// Smaller models are held whole.
  static let leastBytes = 256 << 20

  private let checkpoint: Checkpoint
  private let model: any BlockwiseModel
  private let output: WeightMatrix
  private let norms: [StoredTensor]
  /// The longest sequence the model was made for.
  public let contextLength: Int
  /// The bytes of weights that one decoded token reads.
  public let bytesPerToken: Int
  /// The number of logits.
  public var vocabularySize: Int { output.rows }

  /// The model of `checkpoint`, or nil when it is no language model that can be taken apart.
  ///
  /// - Throws: ``ModelError`` when the output or its norm is missing or cannot be read.
  public init?(_ checkpoint: Checkpoint) throws {
    guard let architecture = checkpoint.architecture, !architecture.isEncoder,
      let model = architecture.blockwise, let name = model.outputName,
      let embedding = model.embeddingNames.first
    else { return nil }
    self.checkpoint = checkpoint
    self.model = model
    output = try TensorLookup(checkpoint).matrix(checkpoint.isTied ? embedding : name)
    norms = model.outputNormNames.compactMap { checkpoint.tensor($0) }
    contextLength = architecture.contextLength
    bytesPerToken = checkpoint.tensors.reduce(0) { $0 + $1.bytes.count }
  }

  /// Runs whole sequences.
  ///
  /// - Throws: what loading tensors throws.
  public func states(of sequences: [[Int]]) throws -> SequenceStates {
    var end = 0
    let starts = sequences.map { sequence in
      defer { end += sequence.count }
      return end
    }
    let width = model.hiddenWidth
    let hidden = FloatBuffer(count: end * width)
    let embeddings = try lookup(model.embeddingNames)
    for (sequence, start) in zip(sequences, starts) {
      try model.embed(sequence, tensors: embeddings, into: hidden.base + start * width)
    }
    for index in 0..<model.blockCount {
      let tensors = try loaded(model.tensorNames(ofBlock: index))
      let block = try model.makeBlock(index, tensors: TensorLookup(tensors, path: checkpoint.source.path))
      for (place, step) in model.steps(ofBlock: index).enumerated() where place % 2 == 1 {
        let x = FloatBuffer(count: sequences.reduce(0) { max($0, $1.count) } * step.inputWidth)
        ReusedMemory.keeping {
          for (sequence, start) in zip(sequences, starts) where !sequence.isEmpty {
            let states = hidden.base + start * width
            block.input(ofStep: place, hidden: states, sequences: [0..<sequence.count], into: x.base)
            block.finish(step: place, x: x.base, tokens: sequence.count, hidden: states)
          }
        }
      }
      for tensor in tensors { try tensor.bytes.load().letGo() }
    }
    return SequenceStates(
      model: model, norms: TensorLookup(norms, path: checkpoint.source.path), output: output, hidden: hidden,
      starts: starts)
  }

  private func loaded(_ names: [String]) throws -> [StoredTensor] {
    try names.compactMap { checkpoint.tensor($0) }.map { tensor in
      var tensor = tensor
      tensor.bytes = TensorBytes(try tensor.bytes.load())
      return tensor
    }
  }

  private func lookup(_ names: [String]) throws -> TensorLookup {
    TensorLookup(try loaded(names), path: checkpoint.source.path)
  }

  /// A cache that remembers tokens alone.
  public func makeCache(capacity: Int) -> KVCache {
    KVCache(capacity: capacity, blocks: 0, heads: 0, headLength: 0)
  }

  /// Runs the cache's sequence and `tokens` from the beginning; NaN where tensors can no longer be read.
  public func forward(_ tokens: [Int], cache: KVCache, logits: LogitsRequest) -> Matrix {
    let history = (cache.workspace as? TokenHistory) ?? TokenHistory()
    cache.workspace = history
    history.tokens = Array(history.tokens.prefix(cache.count)) + tokens
    let first = cache.count
    cache.count += tokens.count
    let start =
      switch logits {
      case .none: tokens.count
      case .last: max(tokens.count - 1, 0)
      case .from(let start): min(max(start, 0), tokens.count)
      }
    let wanted = first + start..<first + tokens.count
    guard !wanted.isEmpty else { return Matrix(rows: 0, columns: vocabularySize) }
    guard let states = try? states(of: [history.tokens]), let rows = try? states.logits(of: 0, at: wanted)
    else {
      return Matrix(
        rows: wanted.count, columns: vocabularySize,
        elements: [Float](repeating: .nan, count: wanted.count * vocabularySize))
    }
    return rows
  }

  private final class TokenHistory {
    var tokens: [Int] = []
  }
}

/// The final hidden states of sequences.
public struct SequenceStates: Sendable {
  let model: any BlockwiseModel
  let norms: TensorLookup
  let output: WeightMatrix
  let hidden: FloatBuffer
  let starts: [Int]

  /// The logits of some positions of a sequence: one row each.
  ///
  /// - Throws: ``ModelError`` when the output's norm is missing.
  public func logits(of sequence: Int, at positions: Range<Int>) throws -> Matrix {
    let (count, width) = (positions.count, model.hiddenWidth)
    let normed = FloatBuffer(count: count * output.columns)
    try model.outputInput(
      hidden: hidden.base + (starts[sequence] + positions.lowerBound) * width, tokens: count, tensors: norms,
      into: normed.base)
    let elements = [Float](unsafeUninitializedCapacity: count * output.rows) { target, size in
      size = count * output.rows
      if let base = target.baseAddress { output.multiply(normed.base, tokens: count, into: base) }
    }
    return Matrix(rows: count, columns: output.rows, elements: elements)
  }
}
