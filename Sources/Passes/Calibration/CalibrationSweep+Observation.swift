import Models
import TensorCore

extension CalibrationSweep {
  /// How one step of a block is observed.
  struct Watch {
    let place, width: Int
    /// The number of the original's outputs, where they are observed in place of its inputs.
    let outputs: Int?
    /// The compressed model's inputs of all tokens, where there is room to keep them until the step is finished.
    let kept: ActivationStore?
    /// Whether hidden states change at the end of the step.
    var endsSublayer: Bool { place % 2 == 1 }
  }

  private func forEachBatch(_ body: (Batch) throws -> Void) throws {
    try ReusedMemory.keeping { for batch in batches { try body(batch) } }
  }

  private var mostTokens: Int { batches.reduce(1) { max($0, $1.tokens) } }

  /// Runs every sequence through a step's input in both streams; the original's hidden states then go on behind the step.
  func observe(
    _ watch: Watch, first: any RunnableBlock, second: any RunnableBlock, original: HiddenStream,
    compressed: HiddenStream
  ) throws -> LayerObservation {
    let width = model.hiddenWidth
    let addsOutputs = watch.endsSublayer && model.addsOutputs
    let updates = try ActivationStore(count: addsOutputs ? mostTokens * width : 1, limit: nil)
    var observation = LayerObservation(width: watch.width)
    try observe(&observation, original: original, compressed: compressed) { hidden, isOriginal, batch, x in
      (isOriginal ? first : second).input(
        ofStep: watch.place, hidden: hidden, sequences: batch.ranges, into: x)
    } add: { observation, batch, hidden, x, y in
      if let kept = watch.kept {
        (kept.base + batch.start * watch.width).update(from: y, count: batch.tokens * watch.width)
      }
      guard watch.endsSublayer, original !== compressed else { return false }
      guard addsOutputs else {
        first.finish(step: watch.place, x: x, tokens: batch.tokens, hidden: hidden)
        try original.put(batch.start, batch.tokens)
        return false
      }
      let count = batch.tokens * width
      updates.base.update(repeating: 0, count: count)
      first.finish(step: watch.place, x: x, tokens: batch.tokens, hidden: updates.base)
      Kernels.add(updates.base, to: hidden, count: count)
      try original.put(batch.start, batch.tokens)
      guard let outputs = watch.outputs, outputs == width, !batch.isHeldOut else { return false }
      observation.add(outputs: updates.base, count: outputs, compressed: y, tokens: batch.tokens)
      return true
    }
    return observation
  }

  /// Runs every sequence through an input in both streams.
  ///
  /// - Parameter add: what else is done with a batch's inputs in the original x and in the compressed model y, `hidden` being the
  ///   original's states; true if it has added them itself.
  func observe(
    _ observation: inout LayerObservation, original: HiddenStream, compressed: HiddenStream,
    _ input: (
      _ hidden: UnsafePointer<Float>, _ isOriginal: Bool, _ batch: Batch, _ x: UnsafeMutablePointer<Float>
    ) throws -> Void,
    add: (
      _ observation: inout LayerObservation, _ batch: Batch, _ hidden: UnsafeMutablePointer<Float>,
      _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>
    ) throws -> Bool = { _, _, _, _, _ in false }
  ) throws {
    let (width, isOne) = (observation.width, original === compressed)
    let x = try ActivationStore(count: mostTokens * width, limit: nil)
    let y = isOne ? x : try ActivationStore(count: mostTokens * width, limit: nil)
    try forEachBatch { batch in
      let hidden = try original.take(batch.start, batch.tokens)
      try input(hidden, true, batch, x.base)
      if !isOne { try input(try compressed.take(batch.start, batch.tokens), false, batch, y.base) }
      for inputs in isOne ? [x] : [x, y] {
        guard !Kernels.allFinite(inputs.base, count: batch.tokens * width) else { continue }
        throw PassError(
          "the \(inputs === x ? "original" : "compressed") model's activations are not finite on calibration "
            + "text: its weights overflow; use --method rtn")
      }
      if try add(&observation, batch, hidden, x.base, y.base) { return }
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

  func finish(_ watch: Watch, of block: any RunnableBlock, _ stream: HiddenStream) throws {
    guard let kept = watch.kept else {
      return try finish(step: watch.place, of: block, width: watch.width, stream)
    }
    try forEachBatch { batch in
      block.finish(
        step: watch.place, x: kept.base + batch.start * watch.width, tokens: batch.tokens,
        hidden: try stream.take(batch.start, batch.tokens))
      try stream.put(batch.start, batch.tokens)
    }
  }

  func finish(step: Int, of block: any RunnableBlock, width: Int, _ stream: HiddenStream) throws {
    guard step % 2 == 1 else { return }
    let x = try ActivationStore(count: mostTokens * width, limit: nil)
    try forEachBatch { batch in
      let hidden = try stream.take(batch.start, batch.tokens)
      block.input(ofStep: step, hidden: hidden, sequences: batch.ranges, into: x.base)
      block.finish(step: step, x: x.base, tokens: batch.tokens, hidden: hidden)
      try stream.put(batch.start, batch.tokens)
    }
  }
}
