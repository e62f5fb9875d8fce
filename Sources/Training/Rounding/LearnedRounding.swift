import ModelFiles
package import Models
import TensorCore

/// Learns the rounding of a quantized model block by block: see ``BlockRounding``.
///
/// Two streams of states run through the blocks, the original's and the learned model's, and of text that is held out a third, that of
/// the model as it was rounded. A block that gains nothing there stays as it was, and all do where predictions gain nothing.
/// Memory: these streams, one block of each model.
package struct LearnedRounding {
  /// What came of it.
  package struct Outcome {
    /// The quantized model with other codes and scales.
    package var checkpoint: Checkpoint
    /// The held-out errors of each block's outputs, over their squares, before and after; equal where nothing was gained.
    package var blocks: [(before: Double, after: Double)]
    /// The KL divergence on held-out text before and after, activations as they are.
    package var divergence: (before: Double, after: Double)
  }

  private let original, rounded: Checkpoint
  private let configuration: LlamaConfiguration
  private let settings: BlockRoundingSettings
  private let exact: Set<String>
  /// What errors of a block's outputs cost, e G eᵀ, a matrix as wide as the states; nil for their squares.
  package var metric: (Int) throws -> [Float]? = { _ in nil }

  /// What there is to learn between a model and its quantized form.
  ///
  /// - Parameters:
  ///   - original: the model before it was rounded.
  ///   - exact: tensors whose weights were changed before they were rounded, so that the original's say nothing about them.
  /// - Returns: nil for an architecture whose blocks are not trained here.
  package init?(
    original: Checkpoint, rounded: Checkpoint, exact: Set<String> = [], settings: BlockRoundingSettings
  ) {
    guard let architecture = original.architecture as? LlamaArchitecture,
      rounded.architecture is LlamaArchitecture
    else { return nil }
    configuration = architecture.configuration
    (self.original, self.rounded, self.exact, self.settings) = (original, rounded, exact, settings)
  }

  /// Learns from documents.
  ///
  /// - Throws: ``TrainingError`` for a format whose scales cannot be changed; what loading and `progress` throw.
  package func run(_ documents: [[Int]], heldOut: [[Int]], progress: (Double) throws -> Void) throws
    -> Outcome
  {
    var result = rounded
    var blocks: [(before: Double, after: Double)] = []
    var goal = (try stream(original, documents), try stream(original, heldOut))
    var own = (try stream(rounded, documents), try stream(rounded, heldOut))
    var plain = own.1
    for index in 0..<configuration.blockCount {
      let (first, second) = (part(original, index), part(rounded, index))
      let graph = try LlamaGraph<Float>(
        block: index, of: configuration, layout: ParameterLayout(second))
      let before = try ParameterLayout(second).weights(of: second)
      let wanted = try ParameterLayout(first).weights(of: first)
      let goals = (goal.0.after(graph, wanted), goal.1.after(graph, wanted))
      var learned = before
      if CodedWeights.suits(second) {
        let found = try self.learned(
          index, first, second, graph, (own.0, goals.0), (own.1, goals.1),
          progress: { try progress((Double(index) + $0) / Double(configuration.blockCount)) })
        blocks.append((found.before, found.after))
        if let made = found.checkpoint {
          learned = try ParameterLayout(made).weights(of: made)
          result.replace(made.tensors)
        }
      }
      plain = plain.after(graph, before)
      own = (own.0.after(graph, learned), own.1.after(graph, learned))
      goal = goals
    }
    let test = try PredictionTest(original, configuration, goal.1)
    let divergence = (
      before: try test.divergence(of: plain, rounded), after: try test.divergence(of: own.1, rounded)
    )
    if divergence.after >= divergence.before { result = rounded }
    return Outcome(checkpoint: result, blocks: blocks, divergence: divergence)
  }

  /// One block as it is learned; no checkpoint where nothing was gained.
  private func learned(
    _ index: Int, _ first: Checkpoint, _ second: Checkpoint, _ graph: LlamaGraph<Float>,
    _ text: (StateStream, StateStream), _ heldOut: (StateStream, StateStream),
    progress: (Double) throws -> Void
  ) throws -> (checkpoint: Checkpoint?, before: Double, after: Double) {
    let form = try CodedWeights(second, settings: TrainingSettings())
    let begin = try form.start()
    let start = begin.copy()
    try form.approach(first, start, names: Set(second.tensors.map(\.name)).subtracting(exact))
    var training = graph
    training.rounds = settings.rounds
    let rounding = BlockRounding(
      graph: training, testGraph: graph, settings: settings, form: form, begin: begin, start: start,
      width: configuration.hiddenSize, metric: try metric(index).map { NumberBuffer($0) })
    let found = try rounding.run(
      .init(input: text.0, goal: text.1), heldOut: .init(input: heldOut.0, goal: heldOut.1),
      progress: progress)
    guard found.after < found.before else { return (nil, found.before, found.before) }
    let made = try form.storing(form.settled(found.parameters), in: second)
    return (made, found.before, found.after)
  }

  /// The tensors of a block alone.
  private func part(_ checkpoint: Checkpoint, _ index: Int) -> Checkpoint {
    var result = checkpoint
    let prefix = LlamaGraph<Float>.blockPrefix(index)
    result.tensors = checkpoint.tensors.filter { $0.name.hasPrefix(prefix) }
    return result
  }

  /// What a model's blocks begin with.
  private func stream(_ checkpoint: Checkpoint, _ documents: [[Int]]) throws -> StateStream {
    guard let embedding = checkpoint.tensor(PredictionTest.embeddingName) else {
      throw TrainingError("tensor '\(PredictionTest.embeddingName)' is missing")
    }
    return StateStream(documents, embedding: try embedding.values(), width: configuration.hiddenSize)
  }
}

extension Checkpoint {
  /// Takes these in place of the tensors of their names.
  fileprivate mutating func replace(_ others: [StoredTensor]) {
    let all = Dictionary(others.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    for place in tensors.indices {
      if let other = all[tensors[place].name] { tensors[place] = other }
    }
  }
}
