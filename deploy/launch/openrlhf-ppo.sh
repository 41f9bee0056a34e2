#!/usr/bin/env bash
# PPO of an 8B policy by OpenRLHF 0.11 (Ray, DeepSpeed ZeRO-3, vLLM), rewarded by Charter's service.
#
#   MODEL=models/Llama-3.1-8B-Instruct PROMPTS=prompts.jsonl deploy/launch/openrlhf-ppo.sh
#
# Hardware: meant for one machine of 8 GPUs of 80 GB: policy, reference, critic and vLLM share all of them in turn
# (--train.colocate_all with both sleep modes). The judge needs a GPU of its own, elsewhere: CHARTER names the service.
# Twice the machines: a Ray cluster over them, and --actor.num_nodes, --ref.num_nodes, --critic.num_nodes 2.
# Without a critic (GRPO): --algo.advantage.estimator group_norm --rollout.n_samples_per_prompt 8, `group=8` in the
# address, and --algo.kl.use_loss --algo.kl.estimator k3. Never run there: its flags are checked against OpenRLHF's parser.
#
# PROMPTS: JSON lines with `prompt`, a list of messages. A key goes into the address: http://charter:KEY@host:8000.
# A sample that cannot be judged is answered 503, never with a number: OpenRLHF tries five times, then trains without it.
set -euo pipefail

CHARTER=${CHARTER:-http://127.0.0.1:8000}
CONSTITUTION=${CONSTITUTION:-helpful-harmless@1}
RUN=${RUN:-openrlhf-ppo}
MODEL=${MODEL:?a model folder}
PROMPTS=${PROMPTS:?JSON lines of prompts}
OUTPUT=${OUTPUT:-runs/$RUN}

curl --fail --silent --show-error "$CHARTER/ready" >/dev/null

exec python -m openrlhf.cli.train_ppo_ray \
  --actor.model_name_or_path "$MODEL" \
  --reward.remote_url "$CHARTER/adapters/openrlhf/get_reward?constitution=$CONSTITUTION&run=$RUN" \
  --data.prompt_dataset "$PROMPTS" \
  --data.input_key prompt \
  --data.apply_chat_template \
  --data.max_len 3072 \
  --rollout.max_new_tokens 1024 \
  --rollout.batch_size 512 \
  --rollout.n_samples_per_prompt 1 \
  --rollout.temperature 1.0 \
  --rollout.micro_batch_size 4 \
  --train.batch_size 128 \
  --train.micro_batch_size 2 \
  --train.max_epochs 1 \
  --train.num_episodes 1 \
  --train.colocate_all \
  --actor.num_nodes 1 \
  --actor.num_gpus_per_node 8 \
  --ref.num_nodes 1 \
  --ref.num_gpus_per_node 8 \
  --critic.num_nodes 1 \
  --critic.num_gpus_per_node 8 \
  --vllm.num_engines 8 \
  --vllm.tensor_parallel_size 1 \
  --vllm.gpu_memory_utilization 0.5 \
  --vllm.sync_backend nccl \
  --vllm.enable_sleep \
  --ds.enable_sleep \
  --ds.zero_stage 3 \
  --ds.param_dtype bf16 \
  --ds.packing_samples \
  --actor.gradient_checkpointing_enable \
  --actor.adam.lr 5e-7 \
  --critic.adam.lr 9e-6 \
  --algo.advantage.estimator gae \
  --algo.advantage.gamma 1.0 \
  --algo.advantage.lambd 0.95 \
  --algo.kl.init_coef 0.05 \
  --algo.kl.estimator k1 \
  --reward.normalize_enable \
  --ckpt.path "$OUTPUT/checkpoints" \
  --ckpt.output_dir "$OUTPUT" \
  --ckpt.save_steps 20 \
  --ckpt.max_num 2 \
  --ckpt.load_enable \
  --logger.logging_steps 1 \
  "$@"
