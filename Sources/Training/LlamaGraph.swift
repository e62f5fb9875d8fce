package import Models
import TensorCore

/// A llama family model whose weights have gradients: the forward pass that remembers, and the way back.
///
/// Weights and gradients are runs of numbers of one ``ParameterLayout``. Gradients are added to what is there.
package struct LlamaGraph<Number: TrainingNumber>: Sendable {
  typealias Layer = DenseLayer

  /// A block's places.
  struct Block: Sendable {
    let attentionNorm, feedForwardNorm: Int
    let queryNorm, keyNorm: Int?
    let query, key, value, attentionOutput, gate, up, down: Layer
    let window: Int?
  }

  let width, inner, heads, keyHeads, headLength, vocabulary: Int
  let epsilon: Number
  let blocks: [Block]
  let embedding, norm, output: Int
  let frequencies: [Float]
  let attentionFactor: Number
  /// Whether the output is the embedding.
  let isTied: Bool
  /// Whether a block's activations are made again on the way back instead of being kept.
  package var recomputes = false
  /// Whether products are of numbers rounded to bfloat16, where the processor multiplies such; sums are in single precision.
  package var rounds = false
  /// How inputs of matrices are rounded; nil for not at all.
  package var rounding: ActivationRounding?

  var queryWidth: Int { heads * headLength }
  var keyWidth: Int { keyHeads * headLength }

  /// The model of a configuration, its weights laid out as in `layout`.
  ///
  /// - Throws: ``ModelError`` when a tensor is missing.
  package init(_ configuration: LlamaConfiguration, layout: ParameterLayout, isTied: Bool) throws {
    func place(_ name: String) throws -> Int { try LlamaGraph.place(name, layout) }
    let blocks = try configuration.windows.indices.map {
      try LlamaGraph.block($0, of: configuration, layout)
    }
    let embedding = try place("model.embed_tokens.weight")
    self.init(
      configuration, blocks: blocks, embedding: embedding, norm: try place("model.norm.weight"),
      output: isTied ? embedding : try place("lm_head.weight"), isTied: isTied)
  }

  /// One block of a model alone, which is run with ``forward(_:_:weights:)``; embedding and output have no place.
  ///
  /// - Throws: ``ModelError`` when a tensor is missing.
  package init(block index: Int, of configuration: LlamaConfiguration, layout: ParameterLayout) throws {
    self.init(
      configuration, blocks: [try LlamaGraph.block(index, of: configuration, layout)], embedding: 0, norm: 0,
      output: 0, isTied: true)
  }

  private init(
    _ configuration: LlamaConfiguration, blocks: [Block], embedding: Int, norm: Int, output: Int, isTied: Bool
  ) {
    (self.blocks, self.embedding, self.norm) = (blocks, embedding, norm)
    (self.output, self.isTied) = (output, isTied)
    (width, inner) = (configuration.hiddenSize, configuration.intermediateSize)
    heads = configuration.headCount
    keyHeads = configuration.keyValueHeadCount
    headLength = configuration.headLength
    vocabulary = configuration.vocabularySize
    epsilon = Number(configuration.normEpsilon)
    frequencies = configuration.rotary.frequencies
    attentionFactor = Number(configuration.rotary.attentionFactor)
  }

  private static func place(_ name: String, _ layout: ParameterLayout) throws -> Int {
    guard let entry = layout[name] else {
      throw ModelError(.missingTensor, "", "tensor '\(name)' is missing")
    }
    return entry.offset
  }

  /// The places of a block.
  private static func block(
    _ index: Int, of configuration: LlamaConfiguration, _ layout: ParameterLayout
  ) throws -> Block {
    func layer(_ name: String, _ outputs: Int, _ inputs: Int) throws -> Layer {
      Layer(
        weight: try place(name + ".weight", layout), bias: layout[name + ".bias"]?.offset, outputs: outputs,
        inputs: inputs)
    }
    let (width, inner) = (configuration.hiddenSize, configuration.intermediateSize)
    let (wide, narrow) = (configuration.queryWidth, configuration.keyValueWidth)
    let name = blockPrefix(index)
    return Block(
      attentionNorm: try place(name + "input_layernorm.weight", layout),
      feedForwardNorm: try place(name + "post_attention_layernorm.weight", layout),
      queryNorm: layout[name + "self_attn.q_norm.weight"]?.offset,
      keyNorm: layout[name + "self_attn.k_norm.weight"]?.offset,
      query: try layer(name + "self_attn.q_proj", wide, width),
      key: try layer(name + "self_attn.k_proj", narrow, width),
      value: try layer(name + "self_attn.v_proj", narrow, width),
      attentionOutput: try layer(name + "self_attn.o_proj", width, wide),
      gate: try layer(name + "mlp.gate_proj", inner, width),
      up: try layer(name + "mlp.up_proj", inner, width),
      down: try layer(name + "mlp.down_proj", width, inner), window: configuration.windows[index])
  }

  /// What the names of a block's tensors begin with.
  static func blockPrefix(_ index: Int) -> String { "model.layers.\(index)." }

  /// What a block made on its way, of `tokens` rows each.
  final class Activations: Sendable {
    let normed, queries, keys, values, attended, middle, secondNormed, gate, up: NumberBuffer<Number>
    /// Queries and keys before their heads were normalised; nil where they are not.
    let rawQueries, rawKeys: NumberBuffer<Number>?
    let inverse, secondInverse: NumberBuffer<Number>

    init(_ graph: LlamaGraph, tokens: Int, hasHeadNorms: Bool) {
      func rows(_ width: Int) -> NumberBuffer<Number> { NumberBuffer(tokens * width, isZeroed: false) }
      (normed, middle, secondNormed) = (rows(graph.width), rows(graph.width), rows(graph.width))
      (queries, attended) = (rows(graph.queryWidth), rows(graph.queryWidth))
      (keys, values) = (rows(graph.keyWidth), rows(graph.keyWidth))
      (gate, up) = (rows(graph.inner), rows(graph.inner))
      (inverse, secondInverse) = (rows(1), rows(1))
      rawQueries = hasHeadNorms ? rows(graph.queryWidth) : nil
      rawKeys = hasHeadNorms ? rows(graph.keyWidth) : nil
    }
  }

  /// A forward pass.
  package final class Pass {
    let packed: PackedTokens
    let rotary: Rotary
    /// The input of each block, and the last one's output.
    var inputs: [NumberBuffer<Number>] = []
    var activations: [Activations?] = []
    /// States inside the model that were asked for, by the number of blocks before them.
    package var taps: [Int: NumberBuffer<Number>] = [:]
    /// What the attention of the block that was asked for reads.
    package var relations: AttentionRows<Number>?
    /// What the output matrix reads.
    package let final: NumberBuffer<Number>
    let inverse: NumberBuffer<Number>

    init(_ graph: LlamaGraph, _ packed: PackedTokens) {
      self.packed = packed
      rotary = Rotary(graph, packed)
      final = NumberBuffer(packed.count * graph.width, isZeroed: false)
      inverse = NumberBuffer(packed.count, isZeroed: false)
    }
  }

  /// Cosines and sines of all positions; positions start anew in each document.
  struct Rotary: Sendable {
    let cosines, sines, backwards: NumberBuffer<Number>
    let positions: [Int]
    let half: Int

    init(_ graph: LlamaGraph, _ packed: PackedTokens) {
      positions = packed.documents.flatMap { Array(0..<$0.count) }
      half = graph.headLength / 2
      let longest = packed.documents.map(\.count).max() ?? 0
      cosines = NumberBuffer(longest * half)
      sines = NumberBuffer(longest * half)
      backwards = NumberBuffer(longest * half)
      let (cosines, sines, backwards, half) = (cosines, sines, backwards, half)
      Parallel.forEach(longest) { position in
        for place in 0..<half {
          // Rounded to 32 bits as the model that runs does, and transformers.
          let (cosine, sine) = Rotary.turn(Double(Float(position) * graph.frequencies[place]))
          let index = position * half + place
          cosines.base[index] = Number(cosine) * graph.attentionFactor
          sines.base[index] = Number(sine) * graph.attentionFactor
          backwards.base[index] = -sines.base[index]
        }
      }
    }

    /// The same turns for tokens at other places.
    init(_ other: Rotary, positions: [Int]) {
      (cosines, sines, backwards, half) = (other.cosines, other.sines, other.backwards, other.half)
      self.positions = positions
    }

    func apply(_ x: UnsafeMutablePointer<Number>, token: Int, heads: Int, isBack: Bool) {
      let place = positions[token] * half
      let sine = (isBack ? backwards : sines).base + place
      for head in 0..<heads {
        Number.rotate(x + head * 2 * half, cosine: cosines.base + place, sine: sine, half: half)
      }
    }
  }
}
