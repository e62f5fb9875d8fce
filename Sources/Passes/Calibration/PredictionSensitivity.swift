import Foundation
import ModelFiles
import Models
import TensorCore

/// How much a model's predictions depend on each layer's outputs: the Fisher information, from gradients.
///
/// With labels drawn from the model's own predictions, the mean over tokens of g·gᵀ, g being the gradient of the labels'
/// log probabilities by a layer's outputs, is G in KL divergence ≈ ½ tr G E H Eᵀ for a small change E of the layer's
/// weights and inputs with covariance H: the Kronecker-factored approximation (arXiv 1503.05671). Everything is in nats a
/// token, so losses of different layers compare and add up.
struct PredictionSensitivity: Sendable {
  /// A layer's G.
  enum Weights: Sendable {
    /// outputs × outputs.
    case full([Float], count: Int)
    /// The mean of the diagonal; kept where whole matrices would take too much memory.
    case mean(Double)
  }

  /// G of each linear layer, by canonical name.
  private(set) var layers: [String: Weights] = [:]
  /// E[x²] of each layer's inputs, by canonical name; for means alone.
  private(set) var inputSquares: [String: [Float]] = [:]
  /// E[g gᵀ] by the embedding's rows as they enter the first block, width × width.
  private(set) var embeddingGram: [Float] = []
  /// E[p (1 − p)] of each token: how much predictions depend on its logit.
  private(set) var logits: [Double] = []
  /// The part of each token among the inputs.
  private(set) var frequencies: [Double] = []

  /// The tokens that gradients are taken of, unless their hidden states take more than ``stateBytes``.
  static let mostTokens = 16384
  private static let stateBytes = 1 << 30
  /// The bytes of matrices G that are held as a whole.
  private static let matrixBytes = 1 << 30
  /// The rows of logits that are held at a time.
  private static let logitRows = 64

  /// Runs the model of `checkpoint` on some of the calibration sequences, forwards and backwards; nil when it has no
  /// gradients here.
  ///
  /// - Parameters:
  ///   - tokens: how many tokens gradients are taken of at most.
  ///   - meansOnly: whether the means of diagonals are enough.
  /// - Throws: ``PassError`` when activations are not finite.
  init?(
    _ checkpoint: Checkpoint, calibration: CalibrationSet, context: PassContext,
    tokens mostTokens: Int = PredictionSensitivity.mostTokens, meansOnly: Bool = false
  ) throws {
    guard let model = checkpoint.architecture?.blockwise as? any GradientModel, model.outputName != nil else {
      return nil
    }
    let perToken = (model.blockCount + 2) * model.hiddenWidth * 4
    let limit = max(256, min(mostTokens, Self.stateBytes / max(1, perToken)))
    let chosen = calibration.spread(tokens: limit).sequences
    guard !chosen.isEmpty else { return nil }
    var walk = GradientWalk(model, checkpoint, sequences: chosen, context: context)
    try walk.goForward(watching: meansOnly)
    inputSquares = walk.inputSquares
    let states = try walk.goBackThroughOutput(rows: Self.logitRows)
    logits = walk.logits
    frequencies = walk.frequencies
    var room = Self.matrixBytes
    for index in (0..<model.blockCount).reversed() {
      for (name, gram, count) in try walk.goBack(block: index, gradient: states, meansOnly: meansOnly) {
        guard gram.allSatisfy(\.isFinite) else {
          throw PassError(
            "'\(name)': the model's gradients are not finite on calibration text; use --method rtn")
        }
        if meansOnly {
          layers[name] = .mean(Double(gram.first ?? 0))
        } else if gram.count * 4 <= room {
          layers[name] = .full(gram, count: count)
          room -= gram.count * 4
        } else {
          layers[name] = .mean(
            (0..<count).reduce(0.0) { $0 + Double(gram[$1 * count + $1]) } / Double(max(1, count)))
        }
      }
    }
    guard !meansOnly else { return }
    embeddingGram = walk.gram(of: states.base, columns: model.hiddenWidth, rows: walk.tokens)
  }
}

/// The way through the blocks and back.
private struct GradientWalk {
  let model: any GradientModel
  let checkpoint: Checkpoint
  let sequences: [[Int]]
  let context: PassContext
  let tensors: [String: StoredTensor]
  let ranges: [Range<Int>]
  /// Hidden states before each block, and behind the last.
  var states: [ActivationStore] = []
  var logits: [Double] = []
  var frequencies: [Double] = []
  var inputSquares: [String: [Float]] = [:]

  var tokens: Int { ranges.last?.upperBound ?? 0 }
  private var width: Int { model.hiddenWidth }

  init(_ model: any GradientModel, _ checkpoint: Checkpoint, sequences: [[Int]], context: PassContext) {
    self.model = model
    self.checkpoint = checkpoint
    self.sequences = sequences
    self.context = context
    tensors = Dictionary(checkpoint.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var end = 0
    ranges = sequences.map { sequence in
      defer { end += sequence.count }
      return end..<end + sequence.count
    }
  }

  private func lookup(_ names: [String]) throws -> TensorLookup {
    TensorLookup(
      try names.compactMap { name in try tensors[name].map { try CalibrationSweep.decoded($0) } },
      path: checkpoint.source.path)
  }

  /// - Parameter watching: whether squares of inputs are kept; weights are multiplied as they are stored then.
  mutating func goForward(watching: Bool) throws {
    let limit = context.memoryLimit.map { $0 / (2 * (model.blockCount + 2)) }
    states = try (0...model.blockCount).map { _ in try ActivationStore(count: tokens * width, limit: limit) }
    let embedding = try lookup(model.embeddingNames)
    for (sequence, range) in zip(sequences, ranges) {
      try model.embed(sequence, tensors: embedding, into: states[0].base + range.lowerBound * width)
    }
    for index in 0..<model.blockCount {
      try context.progress("sensitivity", Double(index) / Double(3 * model.blockCount))
      states[index + 1].base.update(from: states[index].base, count: tokens * width)
      let names = model.tensorNames(ofBlock: index)
      let block = try model.makeBlock(index, tensors: try watching ? stored(names) : lookup(names))
      for (place, step) in model.steps(ofBlock: index).enumerated() where watching || place % 2 == 1 {
        let x = try ActivationStore(count: tokens * step.inputWidth, limit: nil)
        block.input(ofStep: place, hidden: states[index + 1].base, sequences: ranges, into: x.base)
        if watching {
          let squares = meanSquares(x.base, columns: step.inputWidth)
          for name in step.layers { inputSquares[name] = squares }
        }
        guard place % 2 == 1 else { continue }
        block.finish(step: place, x: x.base, tokens: tokens, hidden: states[index + 1].base)
      }
    }
  }

  private func stored(_ names: [String]) throws -> TensorLookup {
    TensorLookup(
      try names.compactMap { name in try tensors[name].map { try CalibrationSweep.loaded($0) } },
      path: checkpoint.source.path, roundsActivations: true)
  }

  private func meanSquares(_ x: UnsafePointer<Float>, columns: Int) -> [Float] {
    var sums = [Double](repeating: 0, count: columns)
    for token in 0..<tokens {
      let row = x + token * columns
      for column in 0..<columns { sums[column] += Double(row[column]) * Double(row[column]) }
    }
    return sums.map { Float($0 / Double(max(1, tokens))) }
  }

  /// The gradients by the last block's output.
  mutating func goBackThroughOutput(rows: Int) throws -> ActivationStore {
    let last = states[model.blockCount]
    let norms = try lookup(model.outputNormNames)
    let gradient = try ActivationStore(count: tokens * width, limit: nil)
    try model.outputInput(hidden: last.base, tokens: tokens, tensors: norms, into: gradient.base)
    guard Kernels.allFinite(gradient.base, count: tokens * width) else {
      throw PassError("the model's activations are not finite on calibration text; use --method rtn")
    }
    let name = checkpoint.isTied ? model.embeddingNames.first ?? "" : model.outputName ?? ""
    guard let tensor = tensors[name] else { throw PassError("tensor '\(name)' is missing") }
    let output = try CalibrationSweep.matrix(tensor)
    let vocabulary = output.rows
    logits = [Double](repeating: 0, count: vocabulary)
    frequencies = logits
    for token in sequences.joined() where token < vocabulary {
      frequencies[token] += 1 / Double(max(1, tokens))
    }
    var generator = SeededGenerator(seed: context.seed ^ 0x5EED_F15E)
    let scores = try ActivationStore(count: rows * vocabulary, limit: nil)
    for start in stride(from: 0, to: tokens, by: rows) {
      let count = min(rows, tokens - start)
      let x = gradient.base + start * width
      let draws = (0..<count).map { _ in generator.uniform() }
      output.elements.withUnsafeBufferPointer {
        guard let w = $0.baseAddress else { return }
        LinearAlgebra.multiply(
          x, w, transposed: true, rows: count, inner: width, columns: vocabulary, into: scores.base)
        draw(scores.base, rows: count, vocabulary: vocabulary, draws)
        LinearAlgebra.multiply(
          scores.base, w, transposed: false, rows: count, inner: vocabulary, columns: width, into: x)
      }
    }
    try model.goBackThroughOutputNorm(
      tensors: norms, hidden: last.base, tokens: tokens, gradient: gradient.base)
    return gradient
  }

  /// Replaces logits by their gradients, one at the drawn label less the probabilities, and adds up p (1 − p).
  private mutating func draw(
    _ scores: UnsafeMutablePointer<Float>, rows: Int, vocabulary: Int, _ draws: [Double]
  ) {
    nonisolated(unsafe) let base = scores
    Parallel.forEach(rows) { row in
      let line = base + row * vocabulary
      let log = Kernels.logSumExp(line, count: vocabulary)
      var (rest, label) = (draws[row], vocabulary - 1)
      for token in 0..<vocabulary {
        let p = exp(Double(line[token]) - Double(log))
        if rest >= 0 {
          rest -= p
          if rest < 0 { label = token }
        }
        line[token] = Float(p)
      }
      // The sum below needs the probabilities, so the label is marked beyond them: 1 − p becomes −p − 1.
      line[label] = -line[label] - 1
    }
    for row in 0..<rows {
      let line = scores + row * vocabulary
      for token in 0..<vocabulary {
        let isLabel = line[token] < 0
        let p = isLabel ? -line[token] - 1 : line[token]
        logits[token] += Double(p) * (1 - Double(p)) / Double(max(1, tokens))
        line[token] = (isLabel ? 1 : 0) - p
      }
    }
  }

  /// Goes back through a block; G of each of its layers, or the mean of its diagonal alone.
  mutating func goBack(
    block index: Int, gradient: ActivationStore, meansOnly: Bool
  ) throws -> [(String, [Float], Int)] {
    try context.progress(
      "sensitivity", Double(3 * model.blockCount - 2 * index) / Double(3 * model.blockCount))
    // For a mean alone weights are multiplied as they are stored, as on the way forwards.
    let names = model.tensorNames(ofBlock: index)
    let lookup = try meansOnly ? stored(names) : lookup(names)
    var grams: [(name: String, gram: [Float], count: Int)] = []
    for name in model.steps(ofBlock: index).flatMap(\.layers) {
      let count = tensors[name]?.rowCount ?? 0
      grams.append((name, [Float](repeating: 0, count: meansOnly ? 1 : count * count), count))
    }
    let factor = 1 / Float(max(1, tokens))
    for range in ranges {
      try model.goBack(
        throughBlock: index, tensors: lookup, hidden: states[index].base + range.lowerBound * width,
        tokens: range.count, gradient: gradient.base + range.lowerBound * width
      ) { name, outputs in
        guard let place = grams.firstIndex(where: { $0.name == name }) else { return }
        let columns = grams[place].count
        if meansOnly {
          let squares = Kernels.dotWide(outputs, outputs, count: range.count * columns)
          grams[place].gram[0] += Float(squares / Double(max(1, columns))) * factor
          return
        }
        grams[place].gram.withUnsafeMutableBufferPointer {
          guard let base = $0.baseAddress else { return }
          LinearAlgebra.addGram(of: outputs, rows: range.count, columns: columns, factor: factor, to: base)
        }
      }
    }
    return grams
  }

  /// E[x xᵀ] of rows.
  func gram(of x: UnsafePointer<Float>, columns: Int, rows: Int) -> [Float] {
    var result = [Float](repeating: 0, count: columns * columns)
    result.withUnsafeMutableBufferPointer {
      guard let base = $0.baseAddress else { return }
      LinearAlgebra.addGram(of: x, rows: rows, columns: columns, factor: 1 / Float(max(1, rows)), to: base)
    }
    return result
  }
}
