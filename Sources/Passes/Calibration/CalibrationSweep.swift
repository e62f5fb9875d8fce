package import ModelFiles
package import Models
import TensorCore

/// A walk through a model, block by block: at each step of a block the layers' inputs are observed, the layers replaced, and
/// the block goes on with the replacements, so that the next layers see the inputs they will really get.
///
/// Two streams of hidden states run side by side, the original's and the compressed model's. Memory: both streams
/// (``HiddenStream``), one block of each model as it is stored, and one step's observation.
package final class CalibrationSweep {
  /// Turns a block's tensors into others with which it does the same, before anything is rounded: called for each step.
  package typealias Preparation = (Step) throws -> [StoredTensor]

  /// Replaces tensors: called for each step, returns the tensors as they will be stored, by canonical name.
  package typealias Transform = (Step) throws -> [String: StoredTensor]

  /// What a walk does beside observing inputs and replacing layers.
  package struct Options {
    /// Changes a block before anything in it is rounded.
    package var preparing: Preparation?
    /// Whether a layer's outputs may be observed in place of its inputs where they are fewer
    /// (``LayerObservation/crossesOutputs``).
    package var observesOutputs = false
    /// Whether what follows sees replaced layers at work as they will run, their inputs rounded to int8 where kernels do
    /// so; else their weights are decoded first.
    package var runsAsStored = false

    /// Nothing.
    package init() {}
  }

  let model: any BlockwiseModel
  private let checkpoint: Checkpoint
  private let tensors: [String: StoredTensor]
  let calibration: CalibrationSet
  private let context: PassContext
  /// The tensors of the model whose activations are the original's, where that is another one.
  private let reference: [String: StoredTensor]
  let batches: [Batch]
  private let tokenCount: Int
  /// How far the walk is.
  private var fraction = 0.0

  /// Sequences that run together.
  struct Batch {
    var sequences: [[Int]]
    var start: Int
    var isHeldOut: Bool
    var ranges: [Range<Int>] {
      var end = 0
      return sequences.map { sequence in
        defer { end += sequence.count }
        return end..<end + sequence.count
      }
    }
    var tokens: Int { sequences.reduce(0) { $0 + $1.count } }
  }

  /// The tokens that run together, unless one sequence alone is longer.
  private static let batchTokens = 1024

  /// A walk through `checkpoint`, or nil when its architecture cannot be taken apart.
  ///
  /// - Parameter reference: the original whose activations are aimed at, where that is another model of the same shapes.
  package init?(
    _ checkpoint: Checkpoint, calibration: CalibrationSet, context: PassContext, reference: Checkpoint? = nil
  ) {
    guard let model = checkpoint.architecture?.blockwise else { return nil }
    self.model = model
    self.checkpoint = checkpoint
    self.calibration = calibration
    self.context = context
    tensors = Dictionary(checkpoint.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    self.reference = Dictionary(
      (reference?.tensors ?? []).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    batches =
      CalibrationSweep.batches(calibration.sequences, start: 0, isHeldOut: false)
      + CalibrationSweep.batches(calibration.heldOut, start: calibration.tokenCount, isHeldOut: true)
    tokenCount = calibration.tokenCount + calibration.heldOutTokenCount
  }

  static func batches(_ sequences: [[Int]], start: Int, isHeldOut: Bool) -> [Batch] {
    var result: [Batch] = []
    var end = start
    for sequence in sequences {
      if let last = result.last, last.tokens + sequence.count <= batchTokens {
        result[result.count - 1].sequences.append(sequence)
      } else {
        result.append(Batch(sequences: [sequence], start: end, isHeldOut: isHeldOut))
      }
      end += sequence.count
    }
    return result
  }

  /// A stream of hidden states that may take a part of the memory for activations.
  private func stream(part: Int) throws -> HiddenStream {
    try HiddenStream(
      tokens: tokenCount, width: model.hiddenWidth,
      limit: (context.memoryLimit ?? HiddenStream.defaultMemory) / part)
  }

  /// Walks through the original alone: each step is seen with the original's inputs, and nothing is replaced.
  package func observe(_ see: (Step) throws -> Void) throws {
    let stream = try stream(part: 1)
    try run(original: stream, compressed: stream, options: Options()) { step in
      try see(step)
      return [:]
    }
  }

  /// Walks through the whole model: first what is embedded, then each block's steps, last the output.
  ///
  /// A tied output is observed in the original model before the walk begins, and replaced first, since it is the embedding, too.
  package func run(_ options: Options = Options(), _ transform: Transform) throws {
    try run(
      original: try stream(part: 2), compressed: try stream(part: 2), options: options, transform)
  }

  /// The walk; with one stream for both, nothing may be replaced.
  private func run(
    original: HiddenStream, compressed: HiddenStream, options: Options, _ transform: Transform
  ) throws {
    var replaced: [String: StoredTensor] = [:]
    try embed(referenced(loaded(model.embeddingNames)), into: original)
    if checkpoint.isTied, let embedding = model.embeddingNames.first {
      replaced = try transform(try tiedOutput(embedding, scratch: compressed))
    } else {
      for name in model.embeddingNames {
        guard let tensor = tensors[name], tensor.shape.count == 2 else { continue }
        replaced.merge(
          try transform(
            Step(block: nil, layers: [try Layer(tensor)], observation: LayerObservation(width: 0)))
        ) { $1 }
      }
    }
    if original !== compressed || checkpoint.isTied {
      try embed(loaded(model.embeddingNames, replaced), into: compressed)
    }
    for index in 0..<model.blockCount {
      try sweep(block: index, original: original, compressed: compressed, options: options, transform)
    }
    if !checkpoint.isTied, let name = model.outputName, let tensor = tensors[name] {
      fraction = Double(model.blockCount) / Double(model.blockCount + 1)
      try begin("observe")
      let observation = try outputObservation(tensor, original: original, compressed: compressed)
      _ = try transform(Step(block: nil, layers: [try Layer(tensor)], observation: observation))
    }
    fraction = 1
    try begin("run rounded")
  }

  private func outputObservation(
    _ tensor: StoredTensor, original: HiddenStream, compressed: HiddenStream
  ) throws -> LayerObservation {
    var observation = LayerObservation(width: tensor.rowLength)
    let lookup = TensorLookup(try loaded(model.outputNormNames), path: checkpoint.source.path)
    try observe(&observation, original: original, compressed: compressed) { hidden, _, batch, x in
      try self.model.outputInput(hidden: hidden, tokens: batch.tokens, tensors: lookup, into: x)
    }
    return observation
  }

  /// One block: every step observed, replaced, and run.
  private func sweep(
    block index: Int, original: HiddenStream, compressed: HiddenStream, options: Options,
    _ transform: Transform
  ) throws {
    var before = try loaded(model.tensorNames(ofBlock: index))
    defer { for tensor in before { (try? tensor.bytes.load())?.letGo() } }
    if let preparing = options.preparing {
      before = try prepared(before, block: index, stream: original, preparing)
    }
    var replaced: [String: StoredTensor] = [:]
    let originals = reference.isEmpty ? before : try referenced(before)
    let first = try block(index, originals)
    let steps = model.steps(ofBlock: index)
    for (place, step) in steps.enumerated() {
      fraction = (Double(index) + Double(place) / Double(steps.count)) / Double(model.blockCount + 1)
      try begin("observe")
      func current() throws -> any RunnableBlock { try block(index, before.map { replaced[$0.name] ?? $0 }) }
      let watch = Watch(
        place: place, width: step.inputWidth,
        observesOutputs: options.observesOutputs && addsBareOutputs(step, before),
        kept: try kept(step.inputWidth, place: place))
      let observation = try observe(
        watch, first: first, second: try current(), original: original, compressed: compressed)
      let layers = try step.layers.compactMap { name in try before.first { $0.name == name }.map(Layer.init) }
      var seen = Step(block: index, layers: layers, observation: observation)
      if !reference.isEmpty {
        seen.originals = try step.layers.compactMap { name in
          try originals.first { $0.name == name }.map(Layer.init)
        }
      }
      let result = try transform(seen)
      for (name, tensor) in result {
        // Layers in `w8a8` always go on rounding their inputs, so that what follows sees what it will get.
        replaced[name] =
          options.runsAsStored || tensor.format == .w8a8 ? tensor : try CalibrationSweep.decoded(tensor)
      }
      try begin("run rounded")
      try finish(watch, of: try current(), compressed)
    }
  }

  /// Whether what a step's end adds to the hidden states is W x and nothing else, and has fewer numbers than x.
  private func addsBareOutputs(_ step: BlockStep, _ tensors: [StoredTensor]) -> Bool {
    guard model.addsOutputs, step.layers.count == 1, model.hiddenWidth < step.inputWidth else { return false }
    // A bias is not what targets are fitted to.
    let bias = step.layers[0].replacing(".weight", with: ".bias")
    return !tensors.contains { $0.name == bias }
  }

  /// Tells that a part of the walk begins: reports add up what each took.
  func begin(_ part: String) throws { try context.progress("calibrate: \(part)", fraction) }

  /// A block over tensors. Products round their activations where that is twice as fast and far below what rounding weights does.
  private func block(_ index: Int, _ tensors: [StoredTensor]) throws -> any RunnableBlock {
    try model.makeBlock(
      index,
      tensors: TensorLookup(tensors, path: checkpoint.source.path, roundsActivations: true))
  }

  /// A block's tensors after `preparing` saw each step at work.
  private func prepared(
    _ tensors: [StoredTensor], block index: Int, stream: HiddenStream, _ preparing: Preparation
  ) throws -> [StoredTensor] {
    var tensors = tensors
    let work = try self.stream(part: 2)
    for batch in batches {
      let states = try stream.take(batch.start, batch.tokens)
      try work.take(batch.start, batch.tokens, reads: false).update(
        from: states, count: batch.tokens * model.hiddenWidth)
      try work.put(batch.start, batch.tokens)
    }
    let block = try block(index, tensors)
    for (place, step) in model.steps(ofBlock: index).enumerated() {
      var observation = LayerObservation(width: step.inputWidth)
      try observe(&observation, original: work, compressed: work) { hidden, _, batch, x in
        block.input(ofStep: place, hidden: hidden, sequences: batch.ranges, into: x)
      }
      func named(_ names: [String]) -> [StoredTensor] {
        names.compactMap { name in tensors.first { $0.name == name } }
      }
      let changed = try preparing(
        Step(
          block: index, layers: try named(step.layers).map(Layer.init), observation: observation,
          sources: try named(step.scaledBy).map { ($0.name, try CalibrationSweep.matrix($0)) }))
      for tensor in changed {
        if let place = tensors.firstIndex(where: { $0.name == tensor.name }) { tensors[place] = tensor }
      }
      try finish(step: place, of: block, width: step.inputWidth, work)
    }
    return tensors
  }

  /// The bytes of a step's inputs that are kept rather than computed twice; a half of what activations may take.
  private func kept(_ width: Int, place: Int) throws -> ActivationStore? {
    let bytes = tokenCount * width * MemoryLayout<Float>.stride
    guard place % 2 == 1, bytes <= (context.memoryLimit ?? HiddenStream.defaultMemory) / 2 else { return nil }
    return try ActivationStore(count: tokenCount * width, limit: nil)
  }

  private func embed(_ tensors: [StoredTensor], into stream: HiddenStream) throws {
    let lookup = TensorLookup(tensors, path: checkpoint.source.path)
    for batch in batches {
      let states = try stream.take(batch.start, batch.tokens, reads: false)
      for (sequence, range) in zip(batch.sequences, batch.ranges) {
        try model.embed(sequence, tensors: lookup, into: states + range.lowerBound * model.hiddenWidth)
      }
      try stream.put(batch.start, batch.tokens)
    }
  }

  /// The output's inputs in the original model: a whole walk of its own.
  private func tiedOutput(_ name: String, scratch: HiddenStream) throws -> Step {
    try embed(loaded(model.embeddingNames), into: scratch)
    for index in 0..<model.blockCount {
      try context.progress("observe", Double(index) / Double(model.blockCount))
      let tensors = try loaded(model.tensorNames(ofBlock: index))
      let block = try block(index, tensors)
      for (place, step) in model.steps(ofBlock: index).enumerated() {
        try finish(step: place, of: block, width: step.inputWidth, scratch)
      }
      for tensor in tensors { try tensor.bytes.load().letGo() }
    }
    guard let tensor = tensors[name] else { throw PassError("tensor '\(name)' is missing") }
    return Step(
      block: nil, layers: [try Layer(tensor)],
      observation: try outputObservation(tensor, original: scratch, compressed: scratch))
  }

  /// The same tensors of the model that is aimed at.
  private func referenced(_ tensors: [StoredTensor]) throws -> [StoredTensor] {
    try tensors.map { tensor in try reference[tensor.name].map { try CalibrationSweep.loaded($0) } ?? tensor }
  }

  /// Tensors of these names with their bytes at hand, the replaced ones as replaced.
  private func loaded(_ names: [String], _ replaced: [String: StoredTensor] = [:]) throws -> [StoredTensor] {
    try names.compactMap { name in
      if let tensor = replaced[name] { return tensor }
      return try tensors[name].map { try CalibrationSweep.loaded($0) }
    }
  }
}
