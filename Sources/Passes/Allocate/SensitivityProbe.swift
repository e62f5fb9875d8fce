import ModelFiles
import Models
import TensorCore

/// What replacing some tensors does to a model's predictions: the KL divergence from the original's, measured by running the
/// model from the block where they are.
///
/// Everything runs in single precision, so nothing but the replacement shows. Hidden states before each block are kept;
/// a probe of a block costs the blocks behind it and the output.
final class SensitivityProbe {
  private let model: any BlockwiseModel
  private let checkpoint: Checkpoint
  private let tensors: [String: StoredTensor]
  private let sequences: [[Int]]
  private let ranges: [Range<Int>]
  private let tokens: Int
  /// The original's hidden states before each block, and behind the last.
  private var states: [ActivationStore] = []
  /// The original's inputs of the output matrix.
  private let finalInput: ActivationStore
  private let path: String

  /// The rows of logits that are held at a time.
  private static let logitRows = 64

  /// Runs the original once.
  ///
  /// - Parameter sequences: what predictions are compared on.
  init?(_ checkpoint: Checkpoint, sequences: [[Int]], context: PassContext) throws {
    guard let model = checkpoint.architecture?.blockwise, model.outputName != nil else { return nil }
    self.model = model
    self.checkpoint = checkpoint
    self.sequences = sequences
    path = checkpoint.source.path
    var end = 0
    ranges = sequences.map { sequence in
      defer { end += sequence.count }
      return end..<end + sequence.count
    }
    tokens = end
    var tensors: [String: StoredTensor] = [:]
    for tensor in checkpoint.tensors { tensors[tensor.name] = tensor }
    self.tensors = tensors
    let count = tokens * model.hiddenWidth
    finalInput = try ActivationStore(count: count, limit: nil)
    let limit = context.memoryLimit.map { $0 / (2 * (model.blockCount + 1)) }
    states = try (0...model.blockCount).map { _ in try ActivationStore(count: count, limit: limit) }
    try embed(replaced: [:], into: states[0])
    for index in 0..<model.blockCount {
      try context.progress("probe", Double(index) / Double(2 * model.blockCount))
      states[index + 1].base.update(from: states[index].base, count: count)
      try run(block: index, replaced: [:], on: states[index + 1])
    }
    try outputInput(of: states[model.blockCount], into: finalInput)
  }

  /// The mean KL divergence, in nats a token, of the model in which `replaced` stand for the original's tensors.
  ///
  /// - Parameter block: the block that the tensors are in; nil for embedding and output.
  func divergence(block: Int?, replaced: [String: StoredTensor]) throws -> Double {
    let count = tokens * model.hiddenWidth
    let state = try ActivationStore(count: count, limit: nil)
    let embeds = block == nil && model.embeddingNames.contains { replaced[$0] != nil }
    if embeds {
      try embed(replaced: replaced, into: state)
    } else {
      state.base.update(from: states[block ?? model.blockCount].base, count: count)
    }
    for index in (embeds ? 0 : block ?? model.blockCount)..<model.blockCount {
      try run(block: index, replaced: index == block ? replaced : [:], on: state)
    }
    let input = try ActivationStore(count: count, limit: nil)
    try outputInput(of: state, into: input)
    return try divergence(of: input, replaced: replaced)
  }

  // MARK: Steps

  private func lookup(_ names: [String], _ replaced: [String: StoredTensor]) throws -> TensorLookup {
    TensorLookup(
      try names.compactMap { name in
        try (replaced[name] ?? tensors[name]).map { try CalibrationSweep.decoded($0) }
      }, path: path)
  }

  private func embed(replaced: [String: StoredTensor], into state: ActivationStore) throws {
    let lookup = try lookup(model.embeddingNames, replaced)
    for (sequence, range) in zip(sequences, ranges) {
      try model.embed(sequence, tensors: lookup, into: state.base + range.lowerBound * model.hiddenWidth)
    }
  }

  private func run(block index: Int, replaced: [String: StoredTensor], on state: ActivationStore) throws {
    let block = try model.makeBlock(index, tensors: try lookup(model.tensorNames(ofBlock: index), replaced))
    for (place, step) in model.steps(ofBlock: index).enumerated() where place % 2 == 1 {
      let x = try ActivationStore(count: tokens * step.inputWidth, limit: nil)
      block.input(ofStep: place, hidden: state.base, sequences: ranges, into: x.base)
      block.finish(step: place, x: x.base, tokens: tokens, hidden: state.base)
    }
  }

  private func outputInput(of state: ActivationStore, into input: ActivationStore) throws {
    try model.outputInput(
      hidden: state.base, tokens: tokens, tensors: try lookup(model.outputNormNames, [:]), into: input.base)
  }

  /// KL divergence of softmax(W′ x′) from softmax(W x), some tokens' logits at a time.
  private func divergence(of input: ActivationStore, replaced: [String: StoredTensor]) throws -> Double {
    let name = checkpoint.isTied ? model.embeddingNames.first ?? "" : model.outputName ?? ""
    let (first, second) = (try lookup([name], [:]).matrix(name), try lookup([name], replaced).matrix(name))
    let (rows, width) = (SensitivityProbe.logitRows, model.hiddenWidth)
    let vocabulary = first.rows
    let (a, b) = (
      try ActivationStore(count: rows * vocabulary, limit: nil),
      try ActivationStore(count: rows * vocabulary, limit: nil)
    )
    var sum = 0.0
    for start in stride(from: 0, to: tokens, by: rows) {
      let count = min(rows, tokens - start)
      first.multiply(finalInput.base + start * width, tokens: count, into: a.base)
      second.multiply(input.base + start * width, tokens: count, into: b.base)
      let parts = Locked([Double](repeating: 0, count: count))
      Parallel.forEach(count) { row in
        let (x, y) = (a.base + row * vocabulary, b.base + row * vocabulary)
        let value = Kernels.logDivergence(
          x, xLog: Kernels.logSumExp(x, count: vocabulary), y, yLog: Kernels.logSumExp(y, count: vocabulary),
          count: vocabulary)
        parts.withLock { $0[row] = value }
      }
      sum += parts.withLock { $0.reduce(0, +) }
    }
    return sum / Double(max(1, tokens))
  }
}
