package import ModelFiles
package import Models
package import TensorCore
import WeightCodecs

/// A walk through a model, block by block: at each step of a block the layers' inputs are observed, the layers replaced, and
/// the block goes on with the replacements, so that the next layers see the inputs they will really get.
///
/// Two streams of hidden states run side by side, the original's and the compressed model's. Memory: both streams'
/// activations (``ActivationStore``), one block in single precision for each, and one step's observation.
package final class CalibrationSweep {
  /// Layers that share an input, and what they saw.
  package struct Step {
    /// The block, counted from 0; nil for embedding and output.
    package let block: Int?
    /// The layers' weights in the original model, in single precision, by canonical name.
    package let layers: [(name: String, weights: Matrix)]
    /// What they saw.
    package let observation: LayerObservation
    /// What a scale of the input's columns can be folded into, in single precision; see `BlockStep`.
    package let sources: [(name: String, weights: Matrix)]

    /// A step of these parts.
    package init(
      block: Int?, layers: [(name: String, weights: Matrix)], observation: LayerObservation,
      sources: [(name: String, weights: Matrix)]
    ) {
      self.block = block
      self.layers = layers
      self.observation = observation
      self.sources = sources
    }
  }

  /// Turns a block's tensors into others with which it does the same, before anything is rounded: called for each step.
  package typealias Preparation = (Step) throws -> [StoredTensor]

  /// Replaces tensors: called for each step, returns the tensors as they will be stored, by canonical name.
  package typealias Transform = (Step) throws -> [String: StoredTensor]

  private let model: any BlockwiseModel
  private let checkpoint: Checkpoint
  private let tensors: [String: StoredTensor]
  private let calibration: CalibrationSet
  private let context: PassContext
  private let batches: [Batch]
  private let tokenCount: Int

  /// Sequences that run together.
  private struct Batch {
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
  package init?(_ checkpoint: Checkpoint, calibration: CalibrationSet, context: PassContext) {
    guard let model = checkpoint.architecture?.blockwise else { return nil }
    self.model = model
    self.checkpoint = checkpoint
    self.calibration = calibration
    self.context = context
    tensors = Dictionary(checkpoint.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    batches =
      CalibrationSweep.batches(calibration.sequences, start: 0, isHeldOut: false)
      + CalibrationSweep.batches(calibration.heldOut, start: calibration.tokenCount, isHeldOut: true)
    tokenCount = calibration.tokenCount + calibration.heldOutTokenCount
  }

  private static func batches(_ sequences: [[Int]], start: Int, isHeldOut: Bool) -> [Batch] {
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

  /// Walks through the original alone: each step is seen with the original's inputs, and nothing is replaced.
  package func observe(_ see: (Step) throws -> Void) throws {
    let stream = try ActivationStore(count: tokenCount * model.hiddenWidth, limit: context.memoryLimit)
    try run(original: stream, compressed: stream) { step in
      try see(step)
      return [:]
    }
  }

  /// Walks through the whole model: first what is embedded, then each block's steps, last the output.
  ///
  /// A tied output is observed in the original model before the walk begins, and replaced first, since it is the embedding, too.
  ///
  /// - Parameter observesOutputs: whether a layer's outputs may be observed in place of its inputs where they are fewer
  ///   (``LayerObservation/crossesOutputs``).
  package func run(
    preparing: Preparation? = nil, observesOutputs: Bool = false, _ transform: Transform
  ) throws {
    let (count, limit) = (tokenCount * model.hiddenWidth, context.memoryLimit.map { $0 / 2 })
    try run(
      original: try ActivationStore(count: count, limit: limit),
      compressed: try ActivationStore(count: count, limit: limit), preparing: preparing,
      observesOutputs: observesOutputs, transform)
  }

  /// The walk; with one stream for both, nothing may be replaced.
  private func run(
    original: ActivationStore, compressed: ActivationStore, preparing: Preparation? = nil,
    observesOutputs: Bool = false, _ transform: Transform
  ) throws {
    var replaced: [String: StoredTensor] = [:]
    try embed(originals(model.embeddingNames), into: original)
    if checkpoint.isTied, let embedding = model.embeddingNames.first {
      replaced = try transform(try tiedOutput(embedding, scratch: compressed))
    } else {
      for name in model.embeddingNames {
        guard let tensor = tensors[name], tensor.shape.count == 2 else { continue }
        let layer = (name: name, weights: try CalibrationSweep.matrix(tensor))
        replaced.merge(
          try transform(
            Step(
              block: nil, layers: [layer],
              observation: LayerObservation(width: 0), sources: []))
        ) { $1 }
      }
    }
    if original !== compressed || checkpoint.isTied {
      try embed(originals(model.embeddingNames, replaced), into: compressed)
    }
    for index in 0..<model.blockCount {
      try sweep(
        block: index, original: original, compressed: compressed, preparing: preparing,
        observesOutputs: observesOutputs, transform)
    }
    if !checkpoint.isTied, let name = model.outputName, let tensor = tensors[name] {
      var observation = LayerObservation(width: tensor.rowLength)
      let lookup = TensorLookup(try originals(model.outputNormNames), path: checkpoint.source.path)
      try observe(&observation, original: original, compressed: compressed) { hidden, _, batch, x in
        try self.model.outputInput(hidden: hidden, tokens: batch.tokens, tensors: lookup, into: x)
      }
      _ = try transform(
        Step(
          block: nil, layers: [(name: name, weights: try CalibrationSweep.matrix(tensor))],
          observation: observation, sources: []))
    }
    try context.progress("calibrate", 1)
  }

  /// One block: every step observed, replaced, and run.
  private func sweep(
    block index: Int, original: ActivationStore, compressed: ActivationStore, preparing: Preparation?,
    observesOutputs: Bool, _ transform: Transform
  ) throws {
    let names = model.tensorNames(ofBlock: index)
    var before = try originals(names)
    if let preparing { before = try prepared(before, block: index, stream: original, preparing) }
    var replaced: [String: StoredTensor] = [:]
    let first = try model.makeBlock(index, tensors: TensorLookup(before, path: checkpoint.source.path))
    let steps = model.steps(ofBlock: index)
    for (place, step) in steps.enumerated() {
      try context.progress(
        "calibrate", (Double(index) + Double(place) / Double(steps.count)) / Double(model.blockCount + 1))
      func current() throws -> any RunnableBlock {
        let tensors = before.map { replaced[$0.name] ?? $0 }
        return try model.makeBlock(index, tensors: TensorLookup(tensors, path: checkpoint.source.path))
      }
      let second = try current()
      let rows = step.layers.compactMap { tensors[$0]?.rowCount }.reduce(0, +)
      let watch = Watch(
        place: place, width: step.inputWidth, outputs: observesOutputs && rows < step.inputWidth ? rows : nil,
        kept: try kept(step.inputWidth, place: place))
      let observation = try observe(
        watch, first: first, second: second, original: original, compressed: compressed)
      let result = try transform(
        Step(
          block: index, layers: try CalibrationSweep.matrices(step.layers, of: before),
          observation: observation, sources: []))
      // Layers that round their inputs go on rounding them, so that what follows sees what it will get.
      for (name, tensor) in result {
        replaced[name] = tensor.format == .w8a8 ? tensor : try CalibrationSweep.decoded(tensor)
      }
      try finish(watch, of: try current(), compressed)
    }
  }

  /// A block's tensors after `preparing` saw each step at work; the stream of hidden states is used up and made good again.
  private func prepared(
    _ tensors: [StoredTensor], block index: Int, stream: ActivationStore, _ preparing: Preparation
  ) throws -> [StoredTensor] {
    var tensors = tensors
    let count = tokenCount * model.hiddenWidth
    let work = try ActivationStore(count: count, limit: context.memoryLimit.map { $0 / 2 })
    work.base.update(from: stream.base, count: count)
    let block = try model.makeBlock(index, tensors: TensorLookup(tensors, path: checkpoint.source.path))
    for (place, step) in model.steps(ofBlock: index).enumerated() {
      var observation = LayerObservation(width: step.inputWidth)
      try observe(&observation, original: work, compressed: work) { hidden, _, batch, x in
        block.input(ofStep: place, hidden: hidden, sequences: batch.ranges, into: x)
      }
      let changed = try preparing(
        Step(
          block: index, layers: try CalibrationSweep.matrices(step.layers, of: tensors),
          observation: observation, sources: try CalibrationSweep.matrices(step.scaledBy, of: tensors)))
      for tensor in changed {
        if let place = tensors.firstIndex(where: { $0.name == tensor.name }) { tensors[place] = tensor }
      }
      try finish(step: place, of: block, width: step.inputWidth, work)
    }
    return tensors
  }

  /// How one step of a block is observed.
  private struct Watch {
    let place, width: Int
    /// The number of the original's outputs, where they are observed in place of its inputs.
    let outputs: Int?
    /// The compressed model's inputs of all tokens, where there is room to keep them until the step is finished.
    let kept: ActivationStore?
    /// Whether hidden states change at the end of the step.
    var endsSublayer: Bool { place % 2 == 1 }
  }

  /// The bytes of inputs that are kept rather than computed twice, where nothing else is asked for.
  private static let keptBytes = 1 << 30

  private func kept(_ width: Int, place: Int) throws -> ActivationStore? {
    let bytes = tokenCount * width * MemoryLayout<Float>.stride
    guard place % 2 == 1, bytes <= context.memoryLimit.map({ $0 / 4 }) ?? Self.keptBytes else { return nil }
    return try ActivationStore(count: tokenCount * width, limit: nil)
  }

  /// Runs every sequence through a step's input in both streams; the original's hidden states then go on behind the step.
  private func observe(
    _ watch: Watch, first: any RunnableBlock, second: any RunnableBlock, original: ActivationStore,
    compressed: ActivationStore
  ) throws -> LayerObservation {
    let most = batches.reduce(1) { max($0, $1.tokens) }
    let updates = try ActivationStore(count: watch.endsSublayer ? most * model.hiddenWidth : 1, limit: nil)
    var observation = LayerObservation(width: watch.width)
    try observe(&observation, original: original, compressed: compressed) { hidden, isOriginal, batch, x in
      (isOriginal ? first : second).input(
        ofStep: watch.place, hidden: hidden, sequences: batch.ranges, into: x)
    } add: { observation, batch, x, y in
      if let kept = watch.kept {
        (kept.base + batch.start * watch.width).update(from: y, count: batch.tokens * watch.width)
      }
      guard watch.endsSublayer, original !== compressed else { return false }
      let count = batch.tokens * model.hiddenWidth
      updates.base.update(repeating: 0, count: count)
      first.finish(step: watch.place, x: x, tokens: batch.tokens, hidden: updates.base)
      Kernels.add(updates.base, to: original.base + batch.start * model.hiddenWidth, count: count)
      guard let outputs = watch.outputs, outputs == model.hiddenWidth, !batch.isHeldOut else { return false }
      observation.add(outputs: updates.base, count: outputs, compressed: y, tokens: batch.tokens)
      return true
    }
    return observation
  }

  /// Runs every sequence through an input in both streams.
  ///
  /// - Parameter add: what else is done with a batch's inputs in the original x and in the compressed model y; true if it has added
  ///   them itself.
  private func observe(
    _ observation: inout LayerObservation, original: ActivationStore, compressed: ActivationStore,
    _ input: (
      _ hidden: UnsafePointer<Float>, _ isOriginal: Bool, _ batch: Batch, _ x: UnsafeMutablePointer<Float>
    ) throws -> Void,
    add: (
      _ observation: inout LayerObservation, _ batch: Batch, _ x: UnsafePointer<Float>,
      _ y: UnsafePointer<Float>
    ) throws -> Bool = { _, _, _, _ in false }
  ) throws {
    let (width, isOne) = (observation.width, original === compressed)
    let most = batches.reduce(1) { max($0, $1.tokens) }
    let x = try ActivationStore(count: most * width, limit: nil)
    let y = isOne ? x : try ActivationStore(count: most * width, limit: nil)
    for batch in batches {
      let offset = batch.start * model.hiddenWidth
      try input(original.base + offset, true, batch, x.base)
      if !isOne { try input(compressed.base + offset, false, batch, y.base) }
      let isFinite = [x, y].map { Kernels.allFinite($0.base, count: batch.tokens * width) }
      if let bad = isFinite.firstIndex(of: false) {
        throw PassError(
          "the \(bad == 0 ? "original" : "compressed") model's activations are not finite on calibration text: "
            + "its weights overflow; use --method rtn")
      }
      if try add(&observation, batch, x.base, y.base) { continue }
      if batch.isHeldOut {
        observation.addHeldOut(
          original: x.base, compressed: y.base, tokens: batch.tokens, stride: heldOutStride(width))
      } else {
        observation.add(original: x.base, compressed: y.base, tokens: batch.tokens)
      }
    }
    observation.finish()
  }

  /// Every so-many-th held-out token is looked at: enough to tell results apart, and as many numbers for wide layers as for narrow.
  private func heldOutStride(_ width: Int) -> Int {
    let wanted = max(1024, (1 << 22) / max(1, width))
    return max(1, calibration.heldOutTokenCount / wanted)
  }

  private func finish(_ watch: Watch, of block: any RunnableBlock, _ stream: ActivationStore) throws {
    guard let kept = watch.kept else {
      return try finish(step: watch.place, of: block, width: watch.width, stream)
    }
    for batch in batches {
      block.finish(
        step: watch.place, x: kept.base + batch.start * watch.width, tokens: batch.tokens,
        hidden: stream.base + batch.start * model.hiddenWidth)
    }
  }

  private func finish(step: Int, of block: any RunnableBlock, width: Int, _ stream: ActivationStore) throws {
    guard step % 2 == 1 else { return }
    let most = batches.reduce(1) { max($0, $1.tokens) }
    let x = try ActivationStore(count: most * width, limit: nil)
    for batch in batches {
      let hidden = stream.base + batch.start * model.hiddenWidth
      block.input(ofStep: step, hidden: hidden, sequences: batch.ranges, into: x.base)
      block.finish(step: step, x: x.base, tokens: batch.tokens, hidden: hidden)
    }
  }

  private func embed(_ tensors: [StoredTensor], into stream: ActivationStore) throws {
    let lookup = TensorLookup(tensors, path: checkpoint.source.path)
    for batch in batches {
      for (sequence, range) in zip(batch.sequences, batch.ranges) {
        try model.embed(
          sequence, tensors: lookup,
          into: stream.base + (batch.start + range.lowerBound) * model.hiddenWidth)
      }
    }
  }

  /// The output's inputs in the original model: a whole walk of its own.
  private func tiedOutput(_ name: String, scratch: ActivationStore) throws -> Step {
    try embed(originals(model.embeddingNames), into: scratch)
    for index in 0..<model.blockCount {
      try context.progress("observe", Double(index) / Double(model.blockCount))
      let block = try model.makeBlock(
        index,
        tensors: TensorLookup(try originals(model.tensorNames(ofBlock: index)), path: checkpoint.source.path))
      for (place, step) in model.steps(ofBlock: index).enumerated() {
        try finish(step: place, of: block, width: step.inputWidth, scratch)
      }
    }
    guard let tensor = tensors[name] else {
      throw PassError("tensor '\(name)' is missing")
    }
    var observation = LayerObservation(width: tensor.rowLength)
    let lookup = TensorLookup(try originals(model.outputNormNames), path: checkpoint.source.path)
    try observe(&observation, original: scratch, compressed: scratch) { hidden, _, batch, x in
      try self.model.outputInput(hidden: hidden, tokens: batch.tokens, tensors: lookup, into: x)
    }
    return Step(
      block: nil, layers: [(name: name, weights: try CalibrationSweep.matrix(tensor))],
      observation: observation, sources: [])
  }

  // MARK: Tensors

  /// Tensors in single precision, the replaced ones as replaced.
  private func originals(_ names: [String], _ replaced: [String: StoredTensor] = [:]) throws -> [StoredTensor]
  {
    try names.compactMap { name in
      try (replaced[name] ?? tensors[name]).map { try CalibrationSweep.decoded($0) }
    }
  }

  /// The matrices of these names that are among `tensors`.
  private static func matrices(_ names: [String], of tensors: [StoredTensor]) throws -> [(
    name: String, weights: Matrix
  )] {
    try names.compactMap { name in
      try tensors.first { $0.name == name }.map { (name: name, weights: try matrix($0)) }
    }
  }

  /// A tensor in single precision.
  static func decoded(_ tensor: StoredTensor) throws -> StoredTensor {
    guard tensor.format != .f32 else { return tensor }
    return tensor.replaced(by: try matrix(tensor))
  }

  /// A tensor's numbers: a vector is one row.
  static func matrix(_ tensor: StoredTensor) throws -> Matrix {
    try TensorCoding.decode(
      try tensor.bytes.load(), format: tensor.format, rows: tensor.rowCount, columns: tensor.rowLength)
  }
}
