import TensorCore

/// A llama family model taken apart.
///
/// The steps of a block: query, key and value; the attention's output; gate and up; down.
package struct BlockwiseLlama: BlockwiseModel {
  let configuration: LlamaConfiguration
  let isTied: Bool
  private let table: TensorTable

  init(_ architecture: LlamaArchitecture) {
    configuration = architecture.configuration
    table = architecture.table
    isTied = architecture.configuration.tiesEmbeddings == true
  }

  package var hiddenWidth: Int { configuration.hiddenSize }
  package var addsOutputs: Bool { true }
  package var blockCount: Int { configuration.blockCount }
  package var embeddingNames: [String] { ["model.embed_tokens.weight"] }
  package var outputName: String? { "lm_head.weight" }
  package var outputNormNames: [String] { ["model.norm.weight"] }

  package func tensorNames(ofBlock index: Int) -> [String] {
    table.entries.map(\.name).filter { $0.hasPrefix("model.layers.\(index).") }
  }

  package func steps(ofBlock index: Int) -> [BlockStep] {
    let name = "model.layers.\(index)."
    let (attention, feedForward) = (name + "self_attn.", name + "mlp.")
    let folds = configuration.headCount == configuration.keyValueHeadCount
    let value = ["weight"] + (configuration.hasAttentionBias ? ["bias"] : [])
    let up = ["weight"] + (configuration.hasMLPBias ? ["bias"] : [])
    return [
      BlockStep(
        layers: ["q_proj", "k_proj", "v_proj"].map { attention + $0 + ".weight" }, inputWidth: hiddenWidth,
        scaledBy: [name + "input_layernorm.weight"]),
      BlockStep(
        layers: [attention + "o_proj.weight"], inputWidth: configuration.queryWidth,
        scaledBy: folds ? value.map { attention + "v_proj." + $0 } : []),
      BlockStep(
        layers: ["gate_proj", "up_proj"].map { feedForward + $0 + ".weight" }, inputWidth: hiddenWidth,
        scaledBy: [name + "post_attention_layernorm.weight"]),
      BlockStep(
        layers: [feedForward + "down_proj.weight"], inputWidth: configuration.intermediateSize,
        scaledBy: up.map { feedForward + "up_proj." + $0 }),
    ]
  }

  package func embed(
    _ tokens: [Int], tensors: TensorLookup, into hidden: UnsafeMutablePointer<Float>
  ) throws {
    let embedding = try tensors.matrix("model.embed_tokens.weight")
    precondition(tokens.allSatisfy { $0 >= 0 && $0 < embedding.rows }, "a token outside of the vocabulary")
    nonisolated(unsafe) let hidden = hidden
    Parallel.forEach(tokens.count) { embedding.decodeRow(tokens[$0], into: hidden + $0 * hiddenWidth) }
  }

  package func makeBlock(_ index: Int, tensors: TensorLookup) throws -> any RunnableBlock {
    RunnableLlamaBlock(
      runner: LlamaBlockRunner(configuration),
      block: try LlamaModel.Block(tensors, index: index, window: configuration.windows[index]))
  }

  package func outputInput(
    hidden: UnsafePointer<Float>, tokens: Int, tensors: TensorLookup, into x: UnsafeMutablePointer<Float>
  ) throws {
    LlamaBlockRunner(configuration).normalize(
      hidden, try tensors.vector("model.norm.weight"), tokens: tokens, into: x)
  }
}

/// One block of a llama family model.
struct RunnableLlamaBlock: RunnableBlock {
  let runner: LlamaBlockRunner
  let block: LlamaModel.Block

  func input(
    ofStep step: Int, hidden: UnsafePointer<Float>, sequences: [Range<Int>],
    into x: UnsafeMutablePointer<Float>
  ) {
    let configuration = runner.configuration
    let tokens = sequences.last?.upperBound ?? 0
    switch step {
    case 0: runner.normalize(hidden, block.attentionNorm, tokens: tokens, into: x)
    case 1:
      // One sequence at a time: each has a cache of its own.
      for range in sequences {
        let work = LlamaBlockRunner.Workspace(configuration, tokens: range.count)
        let cache = KVCache(
          capacity: range.count, blocks: 1, heads: configuration.keyValueHeadCount,
          headLength: configuration.headLength)
        cache.reserve(range.count)
        runner.normalize(
          hidden + range.lowerBound * configuration.hiddenSize, block.attentionNorm, tokens: range.count,
          into: work.normed.base)
        runner.attend(
          block, index: 0, tokens: range.count, rotary: runner.rotary(first: 0, tokens: range.count),
          cache: cache, work: work)
        (x + range.lowerBound * configuration.queryWidth).update(
          from: work.attended.base, count: range.count * configuration.queryWidth)
      }
    case 2: runner.normalize(hidden, block.feedForwardNorm, tokens: tokens, into: x)
    default:
      let work = LlamaBlockRunner.Workspace(configuration, tokens: tokens)
      runner.normalize(hidden, block.feedForwardNorm, tokens: tokens, into: work.normed.base)
      runner.feedForward(block, tokens: tokens, work: work)
      x.update(from: work.gate.base, count: tokens * configuration.intermediateSize)
    }
  }

  func finish(step: Int, x: UnsafePointer<Float>, tokens: Int, hidden: UnsafeMutablePointer<Float>) {
    guard step == 1 || step == 3 else { return }
    let update = FloatBuffer(count: tokens * runner.configuration.hiddenSize, isZeroed: false)
    runner.finish(
      step == 1 ? block.attentionOutput : block.down, x, tokens: tokens, hidden: hidden, update: update)
  }
}

extension LlamaArchitecture: BlockwiseArchitecture {
  package func makeBlockwise() -> any BlockwiseModel { BlockwiseLlama(self) }
}
